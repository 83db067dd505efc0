"""Training: knows a family only by the contract in speech_model.py.

targets         names of modules, checked against the network
adapters        LoRA and its relatives: attach, initialise, count
fast_lora       LoRA and DoRA layers with a faster forward; frozen matrices in bf16
low_rank        the arithmetic of those layers
trainable       what of a network is trained: an adapter, or its own weights
adapter_files   adapters on disk: saved plain, loaded, merged with proof
windows         one clip in a window, or several behind each other
plan            which windows each step of an epoch sees, in which passes
epochs          TrainConfig -> the plans of a run
batches         planned windows -> batches of waveforms and labels
loader          steps decoded ahead by workers
spec_augment    masks of time and frequency
encoder_cache   what a frozen encoder says about each clip, kept
forward         a batch -> its loss, on the device
loss            cross-entropy of a linear head, without the table of all its logits
compiling       torch.compile for the layers
memory          how much fits, and what to do when it did not
decoding        utterances -> hypotheses, in batches of like length
validation      loss and error rates of the validation speech
device          which device, which arithmetic
arguments       TrainConfig -> transformers' TrainingArguments
trainer         transformers' Trainer with features on the device, real WER and unbreakable checkpoints
callbacks       metrics files, progress, interruption
"""
