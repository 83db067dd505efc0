"""Check of a long recording made of clips with known joins: all of it transcribed, once, with correct times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from eartune.audio import SAMPLE_RATE_HZ
from eartune.manifest import Segment
from eartune.model import Waveform

# error of Whisper's segment times at a pause; they have steps of 20 ms, but are guesses of a decoder
TOLERANCE_S = 1.0
# edges at random times, one every 5 s, are that near to 40 % of the joins
MIN_SHARE_NEAR = 0.5
# a segment may hold several short sentences: then its edges are at joins, but not all joins at its edges
LONGEST_SEGMENTS_S = 15.0
# the last window has 30 s wherever the recording ends, and even intact models end it some seconds late
OVERRUN_S = 5.0
SKIPPED_S = 30.0
LONGEST_PHRASE = 12
REPEATS = 4
# shorter ones occur in speech: no, no, no, no
LOOP_WORDS = 6


@dataclass(frozen=True)
class LongClip:
    """Findings: the share of joins with a segment's edge nearby, the largest distance, and the faults."""

    num_joins: int
    share_near: float
    share_of_edges: float
    """The share of edges between segments with a join nearby; 0 if they are too few to judge."""
    farthest_s: float
    disorder: tuple[str, ...]
    loops: tuple[str, ...]
    skipped: tuple[tuple[float, float], ...]
    """Stretches of 30 s and more that no segment touches, as (start, end) in seconds."""

    @property
    def passes(self) -> bool:
        return not (self.disorder or self.loops or self.skipped) and self._has_times

    @property
    def _has_times(self) -> bool:
        return max(self.share_near, self.share_of_edges) >= MIN_SHARE_NEAR

    @property
    def verdict(self) -> str:
        """One line: whether all was transcribed once and in order, and the accuracy of the times."""
        found = [*self.disorder]
        found += [f"a loop: {phrase!r}" for phrase in self.loops]
        found += [f"nothing transcribed from {start_s:.0f} s to {end_s:.0f} s" for start_s, end_s in self.skipped]
        times = (
            f"{100 * self.share_near:.0f} % of {self.num_joins} joins within {TOLERANCE_S:g} s of a segment's edge,"
            f" at most {self.farthest_s:.1f} s off; {100 * self.share_of_edges:.0f} % of the edges at a join"
        )
        if not self._has_times:
            found.append("segment times do not match the speech")
        return f"fails: {'; '.join(found)} ({times})" if found else f"passes: {times}"

    def to_json(self) -> dict[str, Any]:
        return {"passes": self.passes, "verdict": self.verdict} | asdict(self)


def join_clips(waveforms: Sequence[Waveform], *, pause_s: float = 0.5) -> tuple[Waveform, list[float]]:
    """Join clips with silence between them; return the recording and the middles of the pauses, in seconds."""
    pause = np.zeros(round(pause_s * SAMPLE_RATE_HZ), dtype=np.float32)
    pieces: list[Waveform] = []
    joins_s: list[float] = []
    num_samples = 0
    for waveform in waveforms:
        if pieces:
            joins_s.append((num_samples + len(pause) / 2) / SAMPLE_RATE_HZ)
            pieces.append(pause)
            num_samples += len(pause)
        pieces.append(waveform)
        num_samples += len(waveform)
    return np.concatenate(pieces), joins_s


def check_long(segments: Sequence[Segment], *, joins_s: Sequence[float], duration_s: float) -> LongClip:
    """Check the segments of a recording that is speech from beginning to end, whose joins are at `joins_s`."""
    edges_s = np.array([edge for each in segments for edge in (each.start_s, each.end_s)] or [np.inf])
    distances_s = [float(np.abs(edges_s - join_s).min()) for join_s in joins_s]
    return LongClip(
        num_joins=len(joins_s),
        share_near=sum(each <= TOLERANCE_S for each in distances_s) / len(distances_s) if distances_s else 1.0,
        share_of_edges=_share_of_edges(segments, joins_s, duration_s),
        # finite for JSON, even if nothing was transcribed at all
        farthest_s=min(max(distances_s, default=0.0), duration_s),
        disorder=tuple(_disorder(segments, duration_s)),
        loops=tuple(loops(" ".join(segment.text for segment in segments))),
        skipped=tuple(_skipped(segments, duration_s)),
    )


def _share_of_edges(segments: Sequence[Segment], joins_s: Sequence[float], duration_s: float) -> float:
    starts_s = [each.start_s for each in segments[1:] if TOLERANCE_S < each.start_s < duration_s - TOLERANCE_S]
    if not joins_s or len(starts_s) < duration_s / LONGEST_SEGMENTS_S - 1:
        return 0.0
    joins_J = np.array(joins_s)
    near = [bool(np.abs(joins_J - start_s).min() <= TOLERANCE_S / 2) for start_s in starts_s]
    return sum(near) / len(near) if near else 0.0


def loops(text: str) -> list[str]:
    """Return the phrases that a text repeats at least REPEATS times in a row, with at least LOOP_WORDS words in all."""
    words = text.lower().split()
    found = []
    at = 0
    while at < len(words):
        phrase, length = _loop_at(words, at)
        if phrase:
            found.append(" ".join(phrase))
        at += length
    return found


def _loop_at(words: Sequence[str], at: int) -> tuple[Sequence[str], int]:
    """Return the shortest phrase that is repeated from position `at`, and the number of words of its repetitions."""
    for length in range(1, LONGEST_PHRASE + 1):
        phrase = words[at : at + length]
        repeats = 1
        while words[at + repeats * length : at + (repeats + 1) * length] == phrase:
            repeats += 1
        if repeats >= REPEATS and repeats * length >= LOOP_WORDS:
            return phrase, repeats * length
    return [], 1


def _disorder(segments: Sequence[Segment], duration_s: float) -> list[str]:
    found = []
    if segments and segments[-1].end_s > duration_s + OVERRUN_S:
        found.append(f"the last segment ends at {segments[-1].end_s:.1f} s of {duration_s:.1f} s")
    found += [f"a segment ends at {s.end_s:.1f} s before its start" for s in segments if s.end_s < s.start_s]
    for before, after in pairwise(segments):
        if after.start_s < before.start_s:
            found.append(f"a segment at {after.start_s:.1f} s follows one at {before.start_s:.1f} s")
    return found


def _skipped(segments: Sequence[Segment], duration_s: float) -> list[tuple[float, float]]:
    found = []
    covered_s = 0.0
    for start_s, end_s in [*sorted((s.start_s, s.end_s) for s in segments if s.text.strip()), (duration_s, duration_s)]:
        if start_s - covered_s >= SKIPPED_S:
            found.append((covered_s, start_s))
        covered_s = max(covered_s, end_s)
    return found
