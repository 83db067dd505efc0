"""Whisper's encoder for windows shorter than 30 s, and its attention over them on a CPU.

transformers' encoder requires 30 s and adds all position embeddings; otherwise the computation is the same.
B batch, M mel bins, T frames of 10 ms, P positions of 20 ms, D model width; for attention
H heads, Q queries, K keys, C channels of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, WhisperForConditionalGeneration
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder

ATTENTION = "eartune_whisper"
# above this many query-key pairs the attention matrix costs too much memory for the time it saves
MAX_PAIRS = 768 * 768


class AnyLengthEncoder(WhisperEncoder):  # type: ignore[misc]
    """Features [B, M, T] -> states [B, P, D] with P = T / 2, of the first P positions.

    If all its weights are frozen it builds no autograd graph, even if its input requires a gradient.
    """

    def forward(self, input_features: torch.Tensor, attention_mask: Any = None, **kwargs: Any) -> BaseModelOutput:  # noqa: ARG002
        longest = self.max_source_positions * 2
        assert input_features.shape[-1] <= longest, f"{input_features.shape[-1]} frames, at most {longest} fit"
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
    """Allow windows shorter than 30 s in a network. Weights and results for 30 s do not change."""
    network.model.encoder.__class__ = AnyLengthEncoder


def attention(
    module: nn.Module,
    query_BHQC: torch.Tensor,
    key_BHKC: torch.Tensor,
    value_BHKC: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Compute transformers' sdpa attention; bfloat16 training on a CPU uses plain matrix products, which are faster."""
    if not _is_faster_unfused(module, query_BHQC, key_BHKC, attention_mask, dropout):
        outcome: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query_BHQC, key_BHKC, value_BHKC, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return outcome
    # autocast would compute the softmax in float32
    with torch.autocast("cpu", enabled=False):
        scale = query_BHQC.shape[-1] ** -0.5 if scaling is None else scaling
        scores_BHQK = (query_BHQC if scale == 1 else query_BHQC * scale) @ key_BHKC.transpose(2, 3)
        mixed_BHQC = scores_BHQK.softmax(dim=-1) @ value_BHKC
    return mixed_BHQC.transpose(1, 2).contiguous(), None


def _is_faster_unfused(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, dropout: float
) -> bool:
    return (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and torch.is_grad_enabled()
        and mask is None
        and dropout == 0.0
        and (not getattr(module, "is_causal", False) or query.shape[2] == 1)
        and query.shape[2] * key.shape[2] <= MAX_PAIRS
    )


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
