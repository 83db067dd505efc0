"""What may follow what, beside openai-whisper's own rules; and the segments of windows, counted by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper.decoding import ApplyTimestampRules
from whisper.tokenizer import get_tokenizer

from eartune.families.whisper.timestamps import Timestamps

OPENAI = get_tokenizer(multilingual=True)
FIRST = OPENAI.timestamp_begin
NUM_TOKENS = FIRST + 1501
TIMES = Timestamps(first=FIRST, end_of_text=OPENAI.eot, max_initial_index=50)


def openai_forbids(logits_V: np.ndarray, written: list[int]) -> np.ndarray:
    logits_BV = torch.from_numpy(logits_V.copy())[None]
    rules = ApplyTimestampRules(OPENAI, sample_begin=1, max_initial_timestamp_index=50)
    rules.apply(logits_BV, torch.tensor([[0, *written]]))
    return logits_BV[0].numpy()


@given(
    st.lists(st.one_of(st.integers(0, 50_000), st.integers(FIRST, FIRST + 1500)), max_size=5),
    st.integers(0, 2**32 - 1),
    st.floats(-8, 8),
)
def test_the_rules_are_openais(written: list[int], seed: int, lean: float) -> None:
    logits_V = np.random.default_rng(seed).standard_normal(NUM_TOKENS).astype(np.float32)
    # towards times or away from them, so that both are likelier
    logits_V[FIRST:] += np.float32(lean)
    expected_V = openai_forbids(logits_V, written)
    logits_V[OPENAI.no_timestamps] = -np.inf
    TIMES.forbid(logits_V, written)
    np.testing.assert_array_equal(logits_V, expected_V)


def test_tokens_after_the_times_are_words() -> None:
    logits_V = np.zeros(NUM_TOKENS + 3, dtype=np.float32)
    TIMES.forbid(logits_V, [])
    assert np.isneginf(logits_V[NUM_TOKENS:]).all()
    logits_V = np.full(NUM_TOKENS + 3, -20, dtype=np.float32)
    logits_V[-1] = 0
    TIMES.forbid(logits_V, [FIRST, 7])
    assert logits_V.argmax() == NUM_TOKENS + 2
    assert NUM_TOKENS not in TIMES


# times of the window are written t(seconds); words are 1, 2, 3
def t(seconds: float) -> int:
    return FIRST + round(seconds / 0.02)


@pytest.mark.parametrize(
    ("decoded", "segments", "advance_s"),
    [
        # two whole segments; nothing is said after the second one
        ([t(0), 1, t(2), t(2), 2, t(5)], [(0, 2, 1), (2, 5, 2)], 30),
        # the second one is not finished: the next window begins where the first one ends
        ([t(0), 1, t(2), t(3), 2], [(0, 2, 1)], 2),
        ([t(0), 1, t(2), t(3)], [(0, 2, 1)], 2),
        # one that is not finished is all there is
        ([t(0), 1], [(0, 30, 1)], 30),
        ([t(0), 1, t(4)], [(0, 4, 1)], 30),
    ],
)
def test_segments_of_a_window(decoded: list[int], segments: list[tuple[float, float, int]], advance_s: float) -> None:
    found, found_advance_s = TIMES.segments(decoded, 30.0)
    words = [
        (round(start, 2), round(end, 2), next(each for each in part if each < FIRST)) for start, end, part in found
    ]
    assert words == segments
    assert round(found_advance_s, 2) == advance_s
