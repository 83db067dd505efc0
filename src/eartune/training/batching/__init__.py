"""Utterances -> batches: what each optimiser step sees, planned by seed and read ahead.

windows   one clip in a window, or several behind each other
plan      which windows each step of an epoch sees, in which batches
epochs    TrainConfig -> the plans of a run
batches   planned windows -> waveforms and labels
loader    steps decoded ahead by workers
"""
