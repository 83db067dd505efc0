"""A floor under a learning rate that falls for ever, as that of inverse_sqrt does."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim.lr_scheduler import LambdaLR

# (step) -> its share of the peak learning rate
Shares = Callable[[int], float]


def set_floor(schedule: LambdaLR, lowest_lr: float, *, after_steps: int) -> None:
    """Keep a schedule's learning rates from falling below `lowest_lr`; before `after_steps` they still rise."""
    schedule.lr_lambdas = [
        _with_floor(shares, lowest_lr / float(peak), after_steps)
        for shares, peak in zip(schedule.lr_lambdas, schedule.base_lrs, strict=True)
    ]


def _with_floor(shares: Shares, lowest: float, after_steps: int) -> Shares:
    return lambda step: max(shares(step), lowest) if step >= after_steps else shares(step)
