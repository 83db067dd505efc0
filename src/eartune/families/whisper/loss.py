"""Whisper's loss: the output head applied only to decoder states at target positions.

B batch, P positions, U tokens, X all tokens of a batch, N targets, D model width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import DynamicCache, EncoderDecoderCache, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from eartune.model import Network
from eartune.ops.cross_entropy import module_cross_entropy


def whisper_of(network: Network) -> WhisperForConditionalGeneration:
    """Return the Whisper network, which contains PEFT's layers, without PEFT's wrapper."""
    return network if isinstance(network, WhisperForConditionalGeneration) else network.get_base_model()


def target_loss(
    network: WhisperForConditionalGeneration, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float
) -> torch.Tensor:
    """Sum the cross-entropy over the targets of batches, as described in SpeechModel.summed_loss.

    Embedding and head are applied to all batches at once: each call allocates a gradient as large as the weight.
    """
    tokens = [batch["decoder_input_ids"] for batch in batches]
    embedded = network.model.decoder.embed_tokens(torch.cat([part.flatten() for part in tokens]))
    inputs = embedded.split([part.numel() for part in tokens])
    hidden = [
        _target_states(network, batch, inputs_XD.view(*part_BU.shape, -1))
        for batch, inputs_XD, part_BU in zip(batches, inputs, tokens, strict=True)
    ]
    targets_N = torch.cat([batch["targets"] for batch in batches])
    return module_cross_entropy(network.proj_out, torch.cat(hidden), targets_N, label_smoothing=label_smoothing)


def _target_states(
    network: WhisperForConditionalGeneration, batch: Mapping[str, torch.Tensor], inputs_BUD: torch.Tensor
) -> torch.Tensor:
    """Return the decoder's last hidden states [N, D] at target positions."""
    states_BPD = batch.get("encoder_states")
    hidden_BUD = network.model(
        input_features=batch.get("input_features"),
        encoder_outputs=None if states_BPD is None else BaseModelOutput(last_hidden_state=states_BPD),
        decoder_inputs_embeds=inputs_BUD,
        # Never filled. Without a cache transformers checks the positions for packed sequences, which makes a GPU
        # synchronise.
        past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
        use_cache=False,
    ).last_hidden_state
    chosen_ND: torch.Tensor = hidden_BUD.flatten(0, 1).index_select(0, batch["target_positions"])
    return chosen_ND
