"""Canary's loss: cross-entropy, with the head applied at target positions only.

B batch, P positions of 80 ms, U tokens, N targets, D model width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import CanaryForConditionalGeneration

from eartune.model import Network
from eartune.ops.cross_entropy import module_cross_entropy


def canary_of(network: Network) -> CanaryForConditionalGeneration:
    """Return the Canary network, unwrapped from PEFT's model; adapter layers remain in it."""
    return network if isinstance(network, CanaryForConditionalGeneration) else network.get_base_model()


def target_loss(
    network: CanaryForConditionalGeneration, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float
) -> torch.Tensor:
    """Sum the cross-entropy over the targets of batches, see SpeechModel.summed_loss."""
    hidden = [_target_states(network, batch) for batch in batches]
    targets_N = torch.cat([batch["targets"] for batch in batches])
    return module_cross_entropy(network.proj_out, torch.cat(hidden), targets_N, label_smoothing=label_smoothing)


def _target_states(network: CanaryForConditionalGeneration, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the decoder's last hidden states [N, D] at target positions."""
    hidden_BUD = network.model(
        input_features=batch["input_features"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).last_hidden_state
    chosen_ND: torch.Tensor = hidden_BUD.flatten(0, 1).index_select(0, batch["target_positions"])
    return chosen_ND
