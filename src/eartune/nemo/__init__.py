"""What the families of NVIDIA's NeMo share: its archives, the FastConformer encoder, features and tokenizers."""
