"""Widths of encoder inputs."""

from __future__ import annotations

import math


def widened_s(seconds: float, *, step_s: float, most_s: float) -> float:
    """Round a width up to a step, at most to the full window; few different widths are few different shapes."""
    return min(most_s, round(math.ceil(seconds / step_s - 1e-6) * step_s, 6))
