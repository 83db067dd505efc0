"""Widths of encoder inputs, and masks of what is within them."""

from __future__ import annotations

import math

import torch


def widened_s(seconds: float, *, step_s: float, most_s: float) -> float:
    """Round a width up to a step, at most to the full window; few different widths are few different shapes."""
    return min(most_s, round(math.ceil(seconds / step_s - 1e-6) * step_s, 6))


def within(lengths_B: torch.Tensor, total: int) -> torch.Tensor:
    """Return a mask [B, total], true within the first `lengths` places of each row."""
    return torch.arange(total, device=lengths_B.device) < lengths_B[:, None]
