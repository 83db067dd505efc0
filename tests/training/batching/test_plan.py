"""Plans of epochs, by hand and by property."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eartune.config.window import WindowSection
from eartune.model import PlacedUtterance
from eartune.training.batching.plan import Limits, MicroBatch, Step, micro_batches, plan_epoch
from eartune.training.batching.windows import UnplacedUtterance, Window, WindowRules

DEFAULTS: dict[str, Any] = {"window": "padded", "short_full": 0.0}


def clips(count: int, *, low: float = 1.0, high: float = 6.0) -> list[UnplacedUtterance]:
    durations = np.random.default_rng(0).uniform(low, high, size=count)
    return [UnplacedUtterance(index, float(duration), 12, "en") for index, duration in enumerate(durations)]


def plan(
    speech: list[UnplacedUtterance],
    num_steps: int,
    *,
    by_count: bool = True,
    epoch: int = 0,
    limits: Limits = Limits(),  # noqa: B008  frozen
    cached: bool = False,
    **options: Any,
) -> list[Step]:
    rules = WindowRules(WindowSection(**DEFAULTS | options), 30.0, max_tokens=444, timestamp_step_s=0.02, cached=cached)
    return plan_epoch(speech, rules, num_steps=num_steps, by_count=by_count, limits=limits, seed=(7, epoch))


def indices(steps: list[Step]) -> list[int]:
    return [c.index for step in steps for batch in step for window in batch.windows for c in window.clips]


def speech_of(step: Step) -> float:
    return sum(window.speech_s for batch in step for window in batch.windows)


@given(
    count=st.integers(1, 80),
    steps=st.integers(1, 80),
    kind=st.sampled_from(["padded", "packed", "short"]),
    by_count=st.booleans(),
    share=st.floats(0, 1),
    input_s_total=st.floats(1, 300),
)
def test_an_epoch_holds_every_clip_once_in_as_many_steps_as_asked(
    count: int, steps: int, kind: Any, by_count: bool, share: float, input_s_total: float
) -> None:
    steps = min(steps, count)
    limits = Limits(input_s_total=input_s_total, overhead_s=4.0)
    found = plan(
        clips(count), steps, by_count=by_count, window=kind, packed_alone=share, short_full=share, limits=limits
    )
    assert len(found) == steps
    assert all(found)
    assert sorted(indices(found)) == list(range(count))
    for step in found:
        for batch in step:
            assert all(window.input_s <= batch.width_s for window in batch.windows)
            assert batch.input_s_total <= input_s_total + 1e-6 or len(batch.windows) == 1


@pytest.mark.parametrize("kind", ["padded", "packed", "short"])
def test_epochs_differ_and_repeat(kind: Any) -> None:
    speech = clips(60)
    first, again, second = (plan(speech, 6, window=kind, epoch=epoch) for epoch in (0, 0, 1))
    assert first == again
    assert indices(first) != indices(second)


def test_gaps_and_timestamps_of_packed_windows_differ_between_epochs() -> None:
    epochs = [plan(clips(200), 4, window="packed", epoch=epoch) for epoch in range(2)]
    windows = [[window for step in steps for batch in step for window in batch.windows] for steps in epochs]
    starts = [{clip.index: clip.start_s for window in found for clip in window.clips} for found in windows]
    assert starts[0] != starts[1]
    shares = [np.mean([window.timestamps for window in found]) for found in windows]
    assert all(0.1 < share < 0.9 for share in shares)


def test_padded_steps_hold_like_numbers_of_clips() -> None:
    found = plan(clips(50), 7)
    assert {len(indices([step])) for step in found} == {7, 8}


@pytest.mark.parametrize("kind", ["padded", "packed", "short"])
def test_steps_by_seconds_hold_like_amounts_of_speech(kind: Any) -> None:
    speech = clips(400)
    amounts = [speech_of(step) for step in plan(speech, 8, by_count=False, window=kind)]
    whole = sum(clip.duration_s for clip in speech) / 8
    assert all(abs(amount - whole) <= 6 for amount in amounts)


def test_what_the_memory_allows_does_not_change_what_a_step_holds() -> None:
    speech = clips(120)
    wide, narrow = (plan(speech, 5, window="short", limits=Limits(input_s_total=total)) for total in (math.inf, 20.0))
    assert [sorted(indices([step])) for step in wide] == [sorted(indices([step])) for step in narrow]
    assert sum(map(len, narrow)) > sum(map(len, wide))


@pytest.mark.parametrize("kind", ["packed", "short"])
def test_a_step_holds_the_same_clips_in_any_kind_of_window(kind: Any) -> None:
    padded, other = plan(clips(100), 7, short_full=0.3), plan(clips(100), 7, window=kind, short_full=0.3)
    assert [set(indices([step])) for step in padded] == [set(indices([step])) for step in other]


def test_short_windows_keep_the_margin_and_the_jitter_below_its_most() -> None:
    speech = {clip.index: clip for clip in clips(100)}
    silent = [
        window.input_s - speech[window.clips[0].index].duration_s
        for step in plan(list(speech.values()), 5, window="short")
        for batch in step
        for window in batch.windows
    ]
    assert min(silent) >= 1.28 - 1e-6
    assert max(silent) <= 1.28 + 1.0 + 0.32
    assert max(silent) - min(silent) > 0.5


def test_a_share_of_the_short_steps_is_in_full_windows() -> None:
    found = plan(clips(100), 10, window="short", short_full=0.3)
    widths = [{window.input_s for batch in step for window in batch.windows} for step in found]
    assert sum(input_total == {30.0} for input_total in widths) == 3
    assert sum(30.0 not in input_total for input_total in widths) == 7
    # a share of fewer steps than one comes in some epochs
    rare = [plan(clips(9), 3, window="short", short_full=0.1, epoch=epoch) for epoch in range(100)]
    assert 20 <= sum(batch.width_s == 30 for steps in rare for step in steps for batch in step) <= 40


def test_a_share_of_packed_training_is_alone() -> None:
    windows = [w for step in plan(clips(100), 5, window="packed", packed_alone=0.2) for b in step for w in b.windows]
    assert all(window.input_s == 30.0 for window in windows)
    alone = [window for window in windows if len(window.clips) == 1]
    assert 20 <= len(alone) <= 25


def width(seconds: float, *, speech_s: float = 1.0) -> Window:
    return Window((PlacedUtterance(0, 0.0, speech_s),), speech_s, seconds)


@pytest.mark.parametrize(
    ("widths", "overhead_s", "expected"),
    [
        # 2 x 30 and 2 x 3: together 120 s, apart 66 s and one pass more
        ([30, 3, 30, 3], 10, [(30, 2), (3, 2)]),
        ([30, 3, 30, 3], 60, [(30, 4)]),
        ([5, 5, 5], 10, [(5, 3)]),
        # 4, 4, 4 | 2: 12 + 2 + 2 batches of 1 beat 16 + 1
        ([4, 2, 4, 4], 1, [(4, 3), (2, 1)]),
        ([4, 2, 4, 4], 3, [(4, 4)]),
    ],
)
def test_batches_of_like_width_where_that_is_cheaper(
    widths: list[float], overhead_s: float, expected: list[tuple[float, int]]
) -> None:
    found = micro_batches([width(w) for w in widths], Limits(overhead_s=overhead_s))
    assert [(batch.width_s, len(batch.windows)) for batch in found] == expected


def test_the_limits_of_a_pass_divide_evenly() -> None:
    found = micro_batches([width(3.2) for _ in range(10)], Limits(input_s_total=13.0))
    assert [len(batch.windows) for batch in found] == [3, 4, 3]
    found = micro_batches([width(30.0, speech_s=4.0) for _ in range(9)], Limits(speech_s=20.0))
    assert [len(batch.windows) for batch in found] == [4, 5]


@given(widths=st.lists(st.sampled_from([1.6, 3.2, 6.4, 30.0]), min_size=1, max_size=12), overhead=st.floats(0, 50))
def test_no_division_into_runs_of_widths_is_cheaper(widths: list[float], overhead: float) -> None:
    def cost(step: list[MicroBatch]) -> float:
        return sum(batch.input_s_total + overhead for batch in step)

    found = cost(micro_batches([width(w) for w in widths], Limits(overhead_s=overhead)))
    kinds = sorted(set(widths), reverse=True)
    for cuts in range(2 ** (len(kinds) - 1)):
        parts: list[list[float]] = [[]]
        for number, kind in enumerate(kinds):
            parts[-1] += [w for w in widths if w == kind]
            if cuts >> number & 1 and number + 1 < len(kinds):
                parts.append([])
        assert found <= sum(max(part) * len(part) + overhead for part in parts) + 1e-6


@pytest.mark.parametrize(("duration_s", "expected"), [(0.1, 1.6), (1.28, 2.56), (3.3, 4.8), (28.6, 30.0), (30.0, 30.0)])
def test_widths_come_in_steps(duration_s: float, expected: float) -> None:
    ((batch,),) = plan([UnplacedUtterance(0, duration_s, 5, "en")], 1, window="short", short_jitter=0.0)
    assert batch.width_s == pytest.approx(expected, abs=0.02)


def test_steady_windows_have_the_same_width_in_every_epoch() -> None:
    def widths(epoch: int) -> dict[int, float]:
        steps = plan(clips(60), 5, window="short", cached=True, epoch=epoch)
        return {w.clips[0].index: w.input_s for step in steps for batch in step for w in batch.windows}

    assert widths(0) == widths(3)
    assert set(widths(0).values()) <= {2.56, 5.12, 7.68, 10.24}
