"""Selection of the trained parameters of a network, and their files.

targets         names of modules, checked against the network
adapters        LoRA and its variants: attach, initialise
fast_lora       LoRA and DoRA layers with a faster forward; frozen matrices in bf16
low_rank        autograd functions of those layers
unfreezing      parts of the network that are trained in full while the rest is frozen
trainable       adapters, parts of the network, both, or all of it
listing         trained parameters, counted and named
adapter_files   adapters on disk, with weights trained in full beside them: saved, loaded, merged
"""
