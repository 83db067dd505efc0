"""Selection of the trained parameters of a network, and their files.

targets         names of modules, checked against the network
adapters        LoRA and its relatives: attach, initialise
fast_lora       LoRA and DoRA layers with a faster forward; frozen matrices in bf16
low_rank        the arithmetic of those layers
unfreezing      parts of the network that are trained in full while the rest is frozen
batch_norm      BatchNorms whose statistics must not move
trainable       adapters, parts of the network, both, or all of it
listing         what is trained, counted and named
adapter_files   adapters on disk, with what is trained in full beside them: saved plain, loaded, merged with proof
"""
