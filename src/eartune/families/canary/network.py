"""Preparation of transformers' Canary networks to train and decode as in NeMo."""

from __future__ import annotations

from transformers import GenerationConfig

from eartune.families._nemo.network import attach_dropouts
from eartune.model import Network


def prepare_network(network: Network) -> None:
    """Set the dropouts and generation tokens of a newly built or loaded network from its configuration."""
    attach_dropouts(network)
    config = network.config
    network.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        max_length=config.decoder_config.max_position_embeddings,
    )
