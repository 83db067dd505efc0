"""Canary networks: what transformers' own needs to train and decode as in NeMo."""

from __future__ import annotations

from transformers import GenerationConfig

from eartune.model import Network
from eartune.nemo.dropouts import attach_dropouts


def prepare_network(network: Network) -> None:
    """Give a network that was just built or loaded the dropouts and the tokens of decoding its configuration says."""
    attach_dropouts(network)
    config = network.config
    network.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        max_length=config.decoder_config.max_position_embeddings,
    )
