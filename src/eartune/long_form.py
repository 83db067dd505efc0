"""Recordings of any length: cut into clips at the quietest places, their tokens into segments at pauses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from eartune.audio import SAMPLE_RATE_HZ
from eartune.manifest import Segment
from eartune.model import Waveform

# long recordings are cut into clips of at most this length
CLIP_S = 30.0
# a cut is in the last third of the longest clip, in the quietest stretch of this length
QUIET_S = 0.2
EARLIEST_CUT = 2 / 3
# a pause between words that ends a segment
PAUSE_S = 0.8
# prefixes of tokens that begin a word: SentencePiece's own sign, or the space that some runtimes write for it
WORD = ("▁", " ")
SENTENCE_ENDS = (".", "?", "!", "。", "؟", "।")


def cut_at_silences(waveform: Waveform, *, most_s: float = CLIP_S) -> list[tuple[int, int]]:
    """Return start and end of clips of at most `most_s` seconds, in samples; together they cover the recording."""
    most, quiet = round(most_s * SAMPLE_RATE_HZ), round(QUIET_S * SAMPLE_RATE_HZ)
    cuts = [0]
    while len(waveform) - cuts[-1] > most:
        first = cuts[-1] + round(EARLIEST_CUT * most)
        energy = np.cumsum(np.square(waveform[first : cuts[-1] + most], dtype=np.float64))
        loudness = energy[quiet:] - energy[:-quiet]
        cuts.append(first + int(loudness.argmin()) + quiet // 2)
    return [*zip(cuts, [*cuts[1:], len(waveform)], strict=True)]


def parts_at_pauses(
    pieces: Sequence[str], starts: Sequence[int], ends: Sequence[int], *, frame_s: float
) -> list[slice]:
    """Return the tokens of each segment: cut between words, at pauses and at ends of sentences.

    `starts` and `ends` are frames of `frame_s` seconds.
    """
    edges = [0]
    for number in range(1, len(pieces)):
        pause_s = (starts[number] - ends[number - 1]) * frame_s
        if pieces[number].startswith(WORD) and (pause_s >= PAUSE_S or pieces[number - 1].endswith(SENTENCE_ENDS)):
            edges.append(number)
    edges.append(len(pieces))
    return [slice(first, last) for first, last in itertools.pairwise(edges) if last > first]


def timed_segments(
    pieces: Sequence[str],
    starts: Sequence[int],
    ends: Sequence[int],
    clip: Segment,
    *,
    frame_s: float,
    text_of: Callable[[slice], str] | None = None,
) -> list[Segment]:
    """Return the segments of a decoded clip, cut as by `parts_at_pauses`, with the times of their words.

    `clip` has the times of the clip in its recording; `text_of` decodes a part of the tokens, by default to the pieces
    themselves.
    """

    def stretch(part: slice) -> Segment | None:
        text = text_of(part) if text_of else "".join(pieces[part]).replace(WORD[0], " ").strip()
        times_s = (clip.start_s + frame * frame_s for frame in (starts[part.start], ends[part.stop - 1]))
        start_s, end_s = (round(min(each, clip.end_s), 2) for each in times_s)
        return Segment(start_s, end_s, text) if text else None

    found = []
    for part in parts_at_pauses(pieces, starts, ends, frame_s=frame_s):
        segment = stretch(part)
        if segment is not None:
            words = [word for each in _words(pieces, part) if (word := stretch(each)) is not None]
            found.append(replace(segment, words=tuple(words)))
    return found


def _words(pieces: Sequence[str], part: slice) -> list[slice]:
    edges = [part.start, *(n for n in range(part.start + 1, part.stop) if pieces[n].startswith(WORD)), part.stop]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]
