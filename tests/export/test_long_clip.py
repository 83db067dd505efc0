"""Joins, loops and gaps of long recordings: counted by hand, and for any segments."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eartune.export.long_clip import LONGEST_PHRASE, REPEATS, check_long, join_clips, loops
from eartune.manifest import Segment

DISTINCT = [f"word{number}" for number in range(60)]


def reference_outputs(*times: tuple[float, float]) -> list[Segment]:
    return [
        Segment(start_s, end_s, f"{DISTINCT[2 * at]} {DISTINCT[2 * at + 1]}")
        for at, (start_s, end_s) in enumerate(times)
    ]


def test_clips_are_joined_with_pauses_whose_middles_are_known() -> None:
    clips = [np.ones(length, dtype=np.float32) for length in (16_000, 32_000, 8_000)]
    recording, joins_s = join_clips(clips, pause_s=0.5)
    assert len(recording) == 16_000 + 8_000 + 32_000 + 8_000 + 8_000
    assert joins_s == [1.25, 3.75]
    assert recording[16_000:24_000].max() == 0
    assert recording.sum() == 56_000


def test_distances_are_to_the_nearest_edge() -> None:
    found = check_long(reference_outputs((0, 4.8), (5.4, 10), (12, 20)), joins_s=[5.0, 11.5, 16.0], duration_s=20)
    # 0.2 s, 0.5 s and 4 s away
    assert found.share_near == pytest.approx(2 / 3)
    assert found.farthest_s == pytest.approx(4)
    assert found.passes
    assert (
        found.verdict
        == "passes: 67 % of 3 joins within 1 s of a segment's edge, at most 4.0 s off; 100 % of the edges at a join"
    )


@pytest.mark.parametrize(
    ("times", "skipped"),
    [
        ([(0, 20), (50, 70)], ((20, 50),)),
        ([(0, 20), (49.9, 70)], ()),
        ([(30, 70)], ((0, 30),)),
        ([(0, 40)], ((40, 70),)),
        ([], ((0, 70),)),
        ([(0, 70), (10, 20)], ()),
    ],
)
def test_half_minutes_without_words_are_found(times: list, skipped: tuple) -> None:
    found = check_long(reference_outputs(*times), joins_s=[35], duration_s=70)
    assert found.skipped == skipped
    assert ("nothing transcribed" in found.verdict) is bool(skipped)
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize(("shift_s", "passes"), [(0.0, True), (0.9, True), (2.5, False), (-2.5, False)])
def test_times_that_are_shifted_are_found(shift_s: float, passes: bool) -> None:
    times = [(max(at + shift_s, 0), at + 5 + shift_s) for at in range(0, 40, 5)]
    found = check_long(reference_outputs(*times), joins_s=list(range(5, 40, 5)), duration_s=43)
    assert found.passes is passes
    assert ("segment times do not match the speech" in found.verdict) is not passes


def test_a_segment_without_words_hears_nothing() -> None:
    assert check_long([Segment(0, 40, " ")], joins_s=[], duration_s=40).skipped == ((0, 40),)


def test_times_out_of_order_or_beyond_the_end_are_found() -> None:
    assert check_long(reference_outputs((0, 5), (4, 10)), joins_s=[], duration_s=10).passes
    assert check_long(reference_outputs((5, 10), (0, 5)), joins_s=[], duration_s=10).disorder
    assert check_long(reference_outputs((5, 4)), joins_s=[], duration_s=10).disorder
    assert check_long(reference_outputs((0, 16)), joins_s=[], duration_s=10).disorder


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no no no no", []),
        ("No no no no no no", ["no"]),
        ("close the valve close the valve close the valve", []),
        ("so close the valve close the valve close the valve close the valve now", ["close the valve"]),
        ("a b " * 4 + "c " + "d e f " * 5, ["a b", "d e f"]),
        ("", []),
    ],
)
def test_phrases_that_are_said_again_and_again_are_loops(text: str, found: list[str]) -> None:
    assert loops(text) == found


def test_a_loop_runs_over_segments() -> None:
    segments = [Segment(at, at + 1, "thank you") for at in range(5)]
    found = check_long(segments, joins_s=[], duration_s=5)
    assert found.loops == ("thank you",)
    assert found.verdict.startswith("fails: a loop: 'thank you'")


@given(st.permutations(DISTINCT), st.integers(2, LONGEST_PHRASE), st.integers(1, 8), st.integers(0, 40))
def test_a_phrase_of_different_words_is_a_loop_from_four_times_on(
    words: list[str], length: int, times: int, at: int
) -> None:
    phrase, rest = words[:length], words[length:]
    text = " ".join(rest[:at] + phrase * times + rest[at:])
    assert loops(text) == ([" ".join(phrase)] if times >= REPEATS else [])


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=10), st.lists(st.floats(0, 100), max_size=5))
def test_any_segments_give_a_verdict_in_one_line(times: list[tuple[float, float]], joins_s: list[float]) -> None:
    found = check_long(reference_outputs(*times), joins_s=joins_s, duration_s=100)
    assert found.passes is found.verdict.startswith("passes: ")
    assert "\n" not in found.verdict
    assert 0 <= found.share_near <= 1
    for start_s, end_s in found.skipped:
        assert end_s - start_s >= 30
        assert not any(start < end_s and end > start_s for start, end in times if start < end)
    json.dumps(found.to_json(), allow_nan=False)


def test_segments_of_several_sentences_have_their_edges_at_joins() -> None:
    """Joins each 2.5 s, and segments of four sentences: most joins are within one, and all edges at one."""
    joins_s = [2.5 * number for number in range(1, 24)]
    found = check_long(
        reference_outputs((0, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, 60)), joins_s=joins_s, duration_s=60
    )
    assert found.share_near < 0.5
    assert found.share_of_edges == 1
    assert found.passes
    # one edge for a minute tells nothing, wherever it lies
    assert not check_long(reference_outputs((0, 30), (30, 60)), joins_s=joins_s, duration_s=60).passes
