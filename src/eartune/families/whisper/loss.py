"""Whisper's loss: the decoder's states where something has to be answered, and the head over those only.

B batch, P positions, U tokens, N answers, D model width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from eartune.speech_model import Network
from eartune.training.loss import module_cross_entropy


def whisper_of(network: Network) -> WhisperForConditionalGeneration:
    """Return the Whisper network itself; PEFT's layers lie within it."""
    return network if isinstance(network, WhisperForConditionalGeneration) else network.get_base_model()


def answer_loss(
    network: WhisperForConditionalGeneration, batch: Mapping[str, torch.Tensor], *, label_smoothing: float
) -> torch.Tensor:
    """Sum the cross-entropy over the answers of a batch, as described in SpeechModel.summed_loss."""
    states_BPD = batch.get("encoder_states")
    hidden_BUD = network.model(
        input_features=batch.get("input_features"),
        encoder_outputs=None if states_BPD is None else BaseModelOutput(last_hidden_state=states_BPD),
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).last_hidden_state
    hidden_ND = hidden_BUD.flatten(0, 1).index_select(0, batch["answer_rows"])
    return module_cross_entropy(network.proj_out, hidden_ND, batch["answers"], label_smoothing=label_smoothing)
