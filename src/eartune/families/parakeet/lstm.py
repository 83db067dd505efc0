"""The prediction network's LSTM, in the arithmetic that the processor has for it."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

Memory = tuple[torch.Tensor, torch.Tensor]


class PredictionLSTM(nn.LSTM):
    """An LSTM that autocast computes in float32 on processors which lack one in its type.

    oneDNN has none in bf16 for processors without AVX-512, where torch imitates all else that bf16 takes.
    """

    def forward(self, inputs: torch.Tensor, memory: Memory | None = None) -> tuple[torch.Tensor, Memory]:  # type: ignore[override]
        kind = inputs.device.type
        if kind != "cpu" or not torch.is_autocast_enabled(kind) or _runs(torch.get_autocast_dtype(kind)):
            return super().forward(inputs, memory)
        dtype = next(self.parameters()).dtype
        with torch.autocast(kind, enabled=False):
            memory = None if memory is None else (memory[0].to(dtype), memory[1].to(dtype))
            return super().forward(inputs.to(dtype), memory)


@cache
def _runs(dtype: torch.dtype) -> bool:
    """Try whether this processor has an LSTM under autocast to a type."""
    with torch.random.fork_rng(devices=[]), torch.autocast("cpu", dtype), torch.no_grad():
        try:
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError:
            return False
    return True
