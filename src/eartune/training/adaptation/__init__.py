"""What of a network is trained, and how it is kept.

targets         names of modules, checked against the network
adapters        LoRA and its relatives: attach, initialise, count
fast_lora       LoRA and DoRA layers with a faster forward; frozen matrices in bf16
low_rank        the arithmetic of those layers
trainable       an adapter, or the network's own weights
adapter_files   adapters on disk: saved plain, loaded, merged with proof
"""
