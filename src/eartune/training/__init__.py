"""Training: knows a family only by the contract in model.py.

adaptation/     what of a network is trained: LoRA and its relatives, or its own weights
batching/       utterances -> batches: windows, plans of epochs, loading
spec_augment    masks of time and frequency
encoder_cache   what a frozen encoder says about each clip, found by content
encoder_states  where that is kept: in memory, or in files
forward         a batch -> its loss, on the device
loss            cross-entropy of a linear head, without the table of all its logits
compiling       torch.compile for the layers
memory          how much fits, and what to do when it did not
memory_report   what memory a run takes while it lasts
decoding        utterances -> hypotheses, in batches of like length
validation      loss and error rates of the validation speech
device          which device, which arithmetic
arguments       TrainConfig -> transformers' TrainingArguments
schedule        a floor under a learning rate that falls for ever
trainer         transformers' Trainer with features on the device, real WER and unbreakable checkpoints
callbacks       metrics files, progress, interruption
"""
