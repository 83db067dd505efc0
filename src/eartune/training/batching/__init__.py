"""Utterances -> batches: the input of each optimiser step, planned from a seed and read ahead.

windows   encoder input windows, of one clip or several
plan      windows and batches of each step of an epoch
epochs    TrainConfig -> the plans of a run
batches   planned windows -> waveforms and labels
loader    steps decoded ahead by workers
"""
