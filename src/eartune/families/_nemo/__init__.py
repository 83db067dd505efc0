"""Code shared by the NeMo families Canary and Parakeet: archives, FastConformer, features and tokenizers."""
