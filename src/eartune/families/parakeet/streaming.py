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
from eartune.families.parakeet.prompts import Processor, checked_numbers, read_processor, tell_language
from eartune.model import Network
from eartune.model_folder import CONFIG


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
        encoder.lookaheads = _lookaheads(processor, encoder)
        encoder.default_num_lookahead_tokens = encoder.lookaheads[0]
        encoder.lookahead_probabilities = [1 / len(encoder.lookaheads)] * len(encoder.lookaheads)
    _require_probabilities(encoder, folder)
    if hasattr(network, "prompt_projector"):
        network.config.prompt_dictionary = _prompt_dictionary(network, processor, folder)


def _prompt_dictionary(network: Network, processor: Processor, folder: Path) -> dict[str, int]:
    numbers, file = getattr(network.config, "prompt_dictionary", None), CONFIG
    if numbers is None:
        numbers, file = processor.prompt_dictionary or DEFAULT_PROMPT_DICTIONARY, "processor_config.json"
    return checked_numbers(numbers, network.config.num_prompts, where=f"{folder / file}: prompt_dictionary")


def _lookaheads(processor: Processor, encoder: Any) -> list[int]:
    found = processor.supported_num_lookahead_tokens or [encoder.default_num_lookahead_tokens]
    first = processor.default_num_lookahead_tokens
    # the first one is used in decoding
    return sorted(found, key=lambda each: each != first)


def _require_probabilities(encoder: Any, folder: Path) -> None:
    """Raise InputError where there is not a probability for each lookahead, or they cannot be drawn from."""
    shares = getattr(encoder, "lookahead_probabilities", None) or []
    if len(shares) != len(encoder.lookaheads) or not sum(shares) > 0:
        raise InputError(
            f"{folder / CONFIG}: encoder_config.lookahead_probabilities is {shares!r:.80}, expected one for each of "
            f"the {len(encoder.lookaheads)} lookaheads; copy the whole model folder"
        )
