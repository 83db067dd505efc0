"""Training: knows a family only by the contract in model.py.

adaptation/     selection of the trained parameters: LoRA and its variants, or the network's own weights
batching/       utterances -> batches: windows, plans of epochs, loading
encoder_cache   cached outputs of a frozen encoder, keyed by content
encoder_states  their store: memory, or files
forward         a batch -> its loss, on the device
loss            cross-entropy of a linear head, without the table of all its logits
layer_rates     layer-wise learning rate decay
compiling       torch.compile for the layers
memory          memory limits of a batch, and smaller passes when memory runs out
memory_report   memory reports during a run
decoding        utterances -> hypotheses, in batches of similar length
greedy          greedy decoding with an encoder-decoder
validation      loss and error rates of the validation speech
device          device and precision
arguments       TrainConfig -> transformers' TrainingArguments, and a lower bound of the learning rate
trainer         transformers' Trainer with features on the device, validation by decoding, and atomic checkpoints
callbacks       metrics files, progress, interruption
divergence      runs stopped when loss or weights are not finite
"""
