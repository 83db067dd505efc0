"""Training: knows a family only by the contract in speech_model.py.

targets         names of modules, checked against the network
adapters        LoRA and its relatives: attach, initialise, count
fast_lora       LoRA and DoRA layers with a faster forward; frozen matrices in bf16
low_rank        the arithmetic of those layers
trainable       what of a network is trained: an adapter, or its own weights
adapter_files   adapters on disk: saved plain, loaded, merged with proof
batches         utterances -> padded batches of waveforms and labels
loss            cross-entropy averaged over tokens
decoding        utterances -> hypotheses, in batches of like length
device          which device, which arithmetic
arguments       TrainConfig -> transformers' TrainingArguments
trainer         transformers' Trainer with features on the device, real WER and unbreakable checkpoints
callbacks       metrics files, progress, interruption
"""
