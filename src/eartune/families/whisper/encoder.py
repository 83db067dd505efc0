"""Whisper's encoder for windows shorter than 30 s.

transformers' own checks for 30 s and adds its whole table of positions; apart from that this is the same computation.
B batch, M mel bins, T frames of 10 ms, P positions of 20 ms, D model width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder


class AnyLengthEncoder(WhisperEncoder):  # type: ignore[misc]
    """Features [B, M, T] -> states [B, P, D] with P = T / 2, of the first P positions.

    Where none of its weights is trained it keeps no graph, whatever its input.
    """

    def forward(self, input_features: torch.Tensor, attention_mask: Any = None, **kwargs: Any) -> BaseModelOutput:  # noqa: ARG002
        longest = self.max_source_positions * 2
        assert input_features.shape[-1] <= longest, f"{input_features.shape[-1]} frames, and {longest} is the most"
        trained = any(parameter.requires_grad for parameter in self.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and trained):
            return BaseModelOutput(last_hidden_state=self._states(input_features, **kwargs))

    def _states(self, features_BMT: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        hidden_BDT = nn.functional.gelu(self.conv1(features_BMT))
        hidden_BPD = nn.functional.gelu(self.conv2(hidden_BDT)).permute(0, 2, 1)
        hidden_BPD = hidden_BPD + self.embed_positions.weight[: hidden_BPD.shape[1]]
        hidden_BPD = nn.functional.dropout(hidden_BPD, p=self.dropout, training=self.training)
        for layer in self.layers:
            if self.training and self.layerdrop > 0.0 and torch.rand([]) < self.layerdrop:
                continue
            hidden_BPD = layer(hidden_BPD, None, **kwargs)
        states_BPD: torch.Tensor = self.layer_norm(hidden_BPD)
        return states_BPD


def accept_any_length(network: WhisperForConditionalGeneration) -> None:
    """Let a network take windows shorter than 30 s. Weights and 30 s results stay as they are."""
    network.model.encoder.__class__ = AnyLengthEncoder
