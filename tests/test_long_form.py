"""Recordings cut into clips: nothing lost, nothing too long, cuts where it is quiet."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eartune.long_form import cut_at_silences


@given(st.integers(0, 400_000), st.floats(1.0, 8.0), st.integers(0, 2**31))
def test_clips_are_the_recording(samples: int, most_s: float, seed: int) -> None:
    waveform = np.random.default_rng(seed).standard_normal(samples).astype(np.float32)
    clips = cut_at_silences(waveform, most_s=most_s)
    assert clips[0][0] == 0
    assert clips[-1][1] == samples
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(clips))
    assert all(last - first <= round(most_s * 16_000) for first, last in clips)
    assert all(last > first for first, last in clips) or samples == 0


def test_a_cut_lies_in_the_pause() -> None:
    waveform = np.random.default_rng(0).standard_normal(16_000 * 40).astype(np.float32)
    waveform[16_000 * 25 : 16_000 * 26] = 0.0
    (_, cut), _ = cut_at_silences(waveform, most_s=30.0)
    assert 25.0 <= cut / 16_000 <= 26.0
