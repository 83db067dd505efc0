"""Canary's loss: the decoder's states where something has to be answered, and the head over those only.

B batch, P positions of 80 ms, U tokens, N answers, D model width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import CanaryForConditionalGeneration

from eartune.speech_model import Network
from eartune.training.loss import module_cross_entropy


def canary_of(network: Network) -> CanaryForConditionalGeneration:
    """Return the Canary network itself; PEFT's layers lie within it."""
    return network if isinstance(network, CanaryForConditionalGeneration) else network.get_base_model()


def answer_loss(
    network: CanaryForConditionalGeneration, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float
) -> torch.Tensor:
    """Sum the cross-entropy over the answers of batches, as described in SpeechModel.summed_loss."""
    hidden = [_answer_states(network, batch) for batch in batches]
    answers_N = torch.cat([batch["answers"] for batch in batches])
    return module_cross_entropy(network.proj_out, torch.cat(hidden), answers_N, label_smoothing=label_smoothing)


def _answer_states(network: CanaryForConditionalGeneration, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the decoder's last states [N, D] where something has to be answered."""
    hidden_BUD = network.model(
        input_features=batch["input_features"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).last_hidden_state
    chosen_ND: torch.Tensor = hidden_BUD.flatten(0, 1).index_select(0, batch["answer_rows"])
    return chosen_ND
