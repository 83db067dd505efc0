"""The floor of inverse_sqrt, against the schedule as transformers has it."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_inverse_sqrt_schedule

from eartune.training.arguments import set_floor

PEAK = 1e-3


def rates(warmup: int, steps: int, lowest_lr: float | None) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    schedule = get_inverse_sqrt_schedule(optimizer, warmup)
    if lowest_lr is not None:
        set_floor(schedule, lowest_lr, after_steps=warmup)
    input_total = []
    for _ in range(steps):
        input_total.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return input_total


@given(st.integers(0, 20), st.floats(0, 0.99))
def test_the_floor_holds_after_warm_up_and_changes_nothing_above_it(warmup: int, share: float) -> None:
    bare, floored = rates(warmup, 60, None), rates(warmup, 60, share * PEAK)
    assert floored[:warmup] == bare[:warmup]
    expected = [max(rate, share * PEAK) for rate in bare[warmup:]]
    assert all(abs(found - rate) < 1e-12 for found, rate in zip(floored[warmup:], expected, strict=True))


def test_a_continued_schedule_keeps_its_floor() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    schedule = get_inverse_sqrt_schedule(optimizer, 1)
    set_floor(schedule, PEAK / 2, after_steps=1)
    again = get_inverse_sqrt_schedule(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK), 1)
    set_floor(again, PEAK / 2, after_steps=1)
    for _ in range(20):
        optimizer.step()
        schedule.step()
    again.load_state_dict(schedule.state_dict())
    again.step()
    assert again.get_last_lr() == [PEAK / 2]
