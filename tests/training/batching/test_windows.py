"""Packing, by hand and by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eartune.config.window import WindowSection
from eartune.training.batching.windows import MAX_FIRST_TIME_S, UnplacedUtterance, WindowRules, pack

STEP_S = 0.02


def packing(*, max_gap_s: float = 0.0, share: float = 1.0) -> WindowRules:
    return WindowRules(WindowSection(packed_gap=max_gap_s, packed_timestamps=share), 30.0, 444, STEP_S)


def clips(*durations: float, tokens: int = 10, language: str = "en") -> list[UnplacedUtterance]:
    return [UnplacedUtterance(index, duration, tokens, language) for index, duration in enumerate(durations)]


def test_clips_follow_each_other_on_the_grid_of_timestamps() -> None:
    (window,) = pack(clips(3.005, 4.0, 2.0), packing(), np.random.default_rng(0))
    assert [(clip.index, clip.start_s) for clip in window.clips] == [(0, 0.0), (1, 3.02), (2, 7.02)]
    assert window.speech_s == pytest.approx(9.005)
    assert window.input_s == 30.0
    assert window.timestamps


def test_the_fullest_window_that_still_has_room_is_taken() -> None:
    windows = pack(clips(20.0, 25.0, 4.0, 9.0), packing(), np.random.default_rng(0))
    assert [[clip.index for clip in window.clips] for window in windows] == [[0, 3], [1, 2]]


def test_tokens_limit_a_window_as_seconds_do() -> None:
    windows = pack(clips(1.0, 1.0, 1.0, tokens=200), packing(), np.random.default_rng(0))
    assert sorted(len(window.clips) for window in windows) == [1, 2]


def test_languages_do_not_share_a_window() -> None:
    mixed = [*clips(2.0, 2.0), UnplacedUtterance(2, 2.0, 5, "ru"), UnplacedUtterance(3, 2.0, 5, None)]
    windows = pack(mixed, packing(), np.random.default_rng(0))
    assert sorted([clip.index for clip in window.clips] for window in windows) == [[0, 1], [2], [3]]


def test_a_clip_of_a_whole_window_has_it_to_itself() -> None:
    windows = pack(clips(30.0, 30.0, 0.5), packing(max_gap_s=2.0), np.random.default_rng(0))
    assert sorted((len(window.clips), window.clips[0].start_s == 0) for window in windows)[1:] == [(1, True), (1, True)]


@given(
    durations=st.lists(st.floats(0.05, 30.0), min_size=1, max_size=150),
    tokens=st.integers(2, 400),
    max_gap_s=st.floats(0.0, 5.0),
    seed=st.integers(0, 9),
)
def test_every_clip_once_within_all_limits(durations: list[float], tokens: int, max_gap_s: float, seed: int) -> None:
    rules = packing(max_gap_s=max_gap_s, share=0.5)
    windows = pack(clips(*durations, tokens=tokens), rules, np.random.default_rng(seed))
    assert sorted(clip.index for window in windows for clip in window.clips) == list(range(len(durations)))
    for window in windows:
        end_s = 0.0
        assert window.clips[0].start_s <= MAX_FIRST_TIME_S
        for number, clip in enumerate(window.clips):
            assert clip.start_s >= end_s - 1e-6
            assert clip.start_s - end_s <= max_gap_s + 2 * STEP_S or number == 0
            assert abs(clip.start_s / STEP_S - round(clip.start_s / STEP_S)) < 1e-4
            end_s = clip.start_s + durations[clip.index]
        assert end_s <= 30.0 + 1e-6
        assert len(window.clips) == 1 or tokens * len(window.clips) <= rules.max_tokens


def test_full_windows_are_full() -> None:
    durations = np.random.default_rng(1).uniform(1.0, 8.0, size=1000)
    windows = pack(clips(*durations), packing(), np.random.default_rng(0))
    assert sum(window.speech_s for window in windows) / (30 * len(windows)) > 0.97
