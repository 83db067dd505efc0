"""Streaming models: the lookahead of the encoder, and its forward pass with lookahead and language prompts.

NeMo: collections/asr/modules/conformer_encoder.py. B clips, T encoder positions of 80 ms, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.models.nemotron3_5_asr.processing_nemotron3_5_asr import DEFAULT_PROMPT_DICTIONARY

from eartune.errors import InputError
from eartune.families.parakeet.prompts import checked_numbers, read_processor, tell_language
from eartune.model import Network


def encoded(
    network: Network, inputs: Mapping[str, torch.Tensor], prompts_B: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a Parakeet's encoder; return its states [B, T, D] and each clip's number of frames [B]."""
    found = network.encoder(**inputs, **lookahead(network))
    states_BTD, frames_B = found.last_hidden_state, found.attention_mask.sum(dim=1)
    return states_BTD if prompts_B is None else tell_language(network, states_BTD, prompts_B), frames_B


def lookahead(network: Network) -> dict[str, int]:
    """Return the encoder's argument for its lookahead in frames; {} if it is not a streaming encoder.

    In training it is sampled for each pass, as in NeMo; else it is the first of the model's lookaheads.
    """
    config = network.config.encoder_config
    choices = lookaheads_of(network)
    if not choices:
        return {}
    if not network.training or len(choices) == 1:
        return {"num_lookahead_tokens": int(config.default_num_lookahead_tokens)}
    sampled = torch.multinomial(torch.tensor(config.lookahead_probabilities), 1)
    return {"num_lookahead_tokens": choices[int(sampled)]}


def lookaheads_of(network: Network) -> list[int]:
    """Return the lookaheads of an encoder in frames; [] if it is not a streaming encoder."""
    return list(getattr(network.config.encoder_config, "lookaheads", None) or ())


def untrained_contexts(network: Network) -> bool:
    """Return whether a model supports streaming too, but is trained on whole clips only."""
    return bool(getattr(network.config.encoder_config, "untrained_contexts", None))


def complete(network: Network, folder: Path) -> None:
    """Set lookaheads and language prompts of a network from the processor_config.json in its folder."""
    encoder = network.config.encoder_config
    if not hasattr(encoder, "default_num_lookahead_tokens"):
        return
    processor = read_processor(folder)
    if not lookaheads_of(network):
        encoder.lookaheads = _checked_lookaheads(processor, encoder, folder)
        encoder.default_num_lookahead_tokens = encoder.lookaheads[0]
        encoder.lookahead_probabilities = [1 / len(encoder.lookaheads)] * len(encoder.lookaheads)
    if hasattr(network, "prompt_projector") and getattr(network.config, "prompt_dictionary", None) is None:
        network.config.prompt_dictionary = checked_numbers(
            processor.get("prompt_dictionary") or DEFAULT_PROMPT_DICTIONARY,
            network.config.num_prompts,
            where=f"{folder}: processor_config.json: prompt_dictionary",
        )


def _checked_lookaheads(processor: Mapping[str, Any], encoder: Any, folder: Path) -> list[int]:
    found = processor.get("supported_num_lookahead_tokens") or [encoder.default_num_lookahead_tokens]
    first = processor.get("default_num_lookahead_tokens", found[0] if isinstance(found, list) else None)
    if not isinstance(found, list) or not all(type(each) is int and 0 <= each < 1000 for each in found):
        raise InputError(
            f"{folder}: processor_config.json: supported_num_lookahead_tokens is {found!r:.80}, expected numbers of"
            " frames"
        )
    # the first one is used in decoding
    return sorted(found, key=lambda each: each != first)
