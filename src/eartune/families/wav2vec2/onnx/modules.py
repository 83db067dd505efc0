"""The network with its features in the one piece that is traced.

B batch, S samples, P positions of the encoder, V tokens with the blank.
"""

from __future__ import annotations

import torch
from torch import nn

from eartune.families.wav2vec2.network import num_positions
from eartune.model import Network
from eartune.ops.widths import within

# log-probability of all other tokens after the end of a clip
NEVER = -1e4


class CtcGraph(nn.Module):
    """Samples [B, S] and their numbers [B] -> log-probabilities [B, P, V], of the blank after the end of a clip."""

    def __init__(self, extractor: nn.Module, network: Network, blank: int) -> None:
        super().__init__()
        self.extractor, self.network, self.blank = extractor, network, blank

    def forward(self, waveforms_BS: torch.Tensor, samples_B: torch.Tensor) -> torch.Tensor:
        inputs = self.extractor(waveforms_BS, samples_B)
        log_probs_BPV = self.network(**inputs).logits.float().log_softmax(dim=-1)
        lengths_B = num_positions(self.network, inputs["attention_mask"].sum(dim=1))
        is_speech_BP1 = within(lengths_B, log_probs_BPV.shape[1])[..., None]
        is_blank_V = torch.arange(log_probs_BPV.shape[2]) == self.blank
        return torch.where(is_speech_BP1, log_probs_BPV, torch.where(is_blank_V, 0.0, NEVER))
