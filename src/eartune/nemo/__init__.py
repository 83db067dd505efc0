"""Shared parts of the families of NVIDIA's NeMo: archives, the FastConformer encoder, features and tokenizers."""
