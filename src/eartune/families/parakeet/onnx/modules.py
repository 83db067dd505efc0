"""CTC models and transducers in the pieces that are traced, with NeMo's layouts.

B batch, M mel bins, T frames, P positions of the encoder, D its width, U tokens, L layers of the prediction network, H
its width, V tokens with the blank and, in a TDT, a score for each duration.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import ParakeetForCTC, ParakeetForRNNT

from eartune.families._nemo.onnx import EncoderGraph

# the score of a duration that a model does not have
_NEVER = -1e4


class CtcGraph(nn.Module):
    """Features [B, M, T] and their lengths -> log probabilities [B, P, V]."""

    def __init__(self, network: ParakeetForCTC) -> None:
        super().__init__()
        self.encoder, self.head = EncoderGraph(network.encoder), network.ctc_head

    def forward(self, audio_signal_BMT: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
        states_BPD, _ = self.encoder(audio_signal_BMT, length_B)
        log_probs_BPV: torch.Tensor = self.head(states_BPD).log_softmax(dim=-1)
        return log_probs_BPV


class TransposedEncoderGraph(nn.Module):
    """Features [B, M, T] and their lengths -> states [B, D, P] and theirs."""

    def __init__(self, network: ParakeetForRNNT) -> None:
        super().__init__()
        self.encoder = EncoderGraph(network.encoder)

    def forward(self, audio_signal_BMT: torch.Tensor, length_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states_BPD, positions_B = self.encoder(audio_signal_BMT, length_B)
        return states_BPD.transpose(1, 2), positions_B


class DecoderGraph(nn.Module):
    """Tokens [B, U] after states [L, B, H] -> predictions [B, H, U] and later states."""

    def __init__(self, network: ParakeetForRNNT) -> None:
        super().__init__()
        self.decoder = network.decoder

    def forward(
        self, targets_BU: torch.Tensor, length_B: torch.Tensor, hidden_LBH: torch.Tensor, cell_LBH: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        embedded_BUH = self.decoder.embedding(targets_BU)
        output_BUH, (hidden_LBH, cell_LBH) = self.decoder.lstm(embedded_BUH, (hidden_LBH, cell_LBH))
        return output_BUH.transpose(1, 2), length_B, hidden_LBH, cell_LBH


class JoinerGraph(nn.Module):
    """States of the encoder [B, D, P] and predictions [B, H, U] -> scores [B, P, U, V]."""

    def __init__(self, network: ParakeetForRNNT) -> None:
        super().__init__()
        self.encoder_projector, self.decoder_projector = network.encoder_projector, network.decoder.decoder_projector
        self.joint = network.joint
        self.num_tokens = network.config.vocab_size
        self.durations = list(getattr(network.config, "durations", ()))

    def forward(self, states_BDP: torch.Tensor, predicted_BHU: torch.Tensor) -> torch.Tensor:
        scores_BPUV: torch.Tensor = self.joint(
            encoder_hidden_states=self.encoder_projector(states_BDP.transpose(1, 2))[:, :, None],
            decoder_hidden_states=self.decoder_projector(predicted_BHU.transpose(1, 2))[:, None],
        )
        longest = max(self.durations, default=-1)
        if self.durations == list(range(longest + 1)):
            return scores_BPUV
        # both programs take the number of a score for its duration
        scores_BPUV = nn.functional.pad(scores_BPUV, (0, 1), value=_NEVER)
        columns = {duration: self.num_tokens + number for number, duration in enumerate(self.durations)}
        spread = [columns.get(duration, scores_BPUV.shape[-1] - 1) for duration in range(longest + 1)]
        return scores_BPUV[..., [*range(self.num_tokens), *spread]]


class DecoderJointGraph(nn.Module):
    """Both: states of the encoder [B, D, P] and tokens [B, U] after states [L, B, H] -> scores [B, P, U, V]."""

    def __init__(self, network: ParakeetForRNNT) -> None:
        super().__init__()
        self.decoder, self.joiner = DecoderGraph(network), JoinerGraph(network)

    def forward(
        self,
        states_BDP: torch.Tensor,
        targets_BU: torch.Tensor,
        length_B: torch.Tensor,
        hidden_LBH: torch.Tensor,
        cell_LBH: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        predicted_BHU, length_B, hidden_LBH, cell_LBH = self.decoder(targets_BU, length_B, hidden_LBH, cell_LBH)
        return self.joiner(states_BDP, predicted_BHU), length_B, hidden_LBH, cell_LBH
