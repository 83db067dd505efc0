"""Parakeet's losses: CTC, and that of a transducer, alone or with an auxiliary CTC head.

Each is the sum over utterances of -log P(tokens | audio), as NeMo's `mean_volume` before the division by the tokens.
B batch, T encoder positions of 80 ms, U tokens, D hidden size, V vocabulary with the blank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers import ParakeetForCTC
from transformers.activations import ACT2FN

from eartune.families._nemo.base import feature_inputs
from eartune.families.parakeet.prompts import now_and_then_auto
from eartune.families.parakeet.streaming import encoded
from eartune.families.parakeet.transducer.loss import transducer_losses
from eartune.languages import AUTO
from eartune.model import Network
from eartune.ops.ctc import ctc_loss

# key in output_dropouts of the joint network's dropout, which the loss applies itself
JOINT_ACTIVATION = r"joint\.activation"


def summed_loss(network: Network, batches: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
    """Sum the loss over the utterances of batches, in float32."""
    return torch.stack([_batch_loss(network, batch) for batch in batches]).sum()


def _batch_loss(network: Network, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    targets_BU, tokens_B = batch["decoder_input_ids"], batch["target_lengths"]
    prompts_B = None
    if (numbers := getattr(network.config, "prompt_dictionary", None)) is not None:
        # labels.py puts the prompt before the text
        prompts_B, targets_BU = targets_BU[:, 0], targets_BU[:, 1:]
        prompts_B = now_and_then_auto(prompts_B, numbers.get(AUTO)) if network.training else prompts_B
    states_BTD, frames_B = encoded(network, feature_inputs(batch), prompts_B)
    if isinstance(network, ParakeetForCTC):
        blank = network.config.pad_token_id
        return ctc_loss(network.ctc_head(states_BTD), frames_B, targets_BU, tokens_B, blank=blank)
    loss = _transducer_loss(network, states_BTD, frames_B, targets_BU, tokens_B)
    weight = getattr(network.config, "aux_ctc_loss_weight", 0.0)
    if not weight:
        return loss
    blank = network.config.blank_token_id
    # utterances without a path in CTC are remarked; their term is 0
    ctc = ctc_loss(network.ctc_logits(states_BTD), frames_B, targets_BU, tokens_B, blank=blank)
    return (1 - weight) * loss + weight * ctc


def _transducer_loss(
    network: Network,
    states_BTD: torch.Tensor,
    frames_B: torch.Tensor,
    targets_BU: torch.Tensor,
    tokens_B: torch.Tensor,
) -> torch.Tensor:
    config = network.config
    blank, durations = config.blank_token_id, getattr(config, "durations", None)
    trained = getattr(config, "tdt_loss", {})
    # NeMo trains TDT as a plain RNN-T with the probability omega
    if durations is not None and network.training and float(torch.rand(())) < trained.get("omega", 0.0):
        durations = None
    rates = getattr(config, "output_dropouts", {})
    losses_B = transducer_losses(
        network.encoder_projector(states_BTD),
        network.decoder(nn.functional.pad(targets_BU, (1, 0), value=blank)),
        network.joint.head,
        targets_BU,
        frames_B,
        tokens_B,
        blank=blank,
        num_vocabulary=config.vocab_size,
        durations=durations,
        activation=ACT2FN[config.hidden_act],
        dropout=rates.get(JOINT_ACTIVATION, 0.0) if network.training else 0.0,
        sigma=trained.get("sigma", 0.0) if durations is not None else 0.0,
        fast_emit=trained.get("fastemit_lambda", 0.0),
    )
    return losses_B.sum()
