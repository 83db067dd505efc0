"""Segments from the tokens of a clip, and long recordings decoded as such clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eartune.audio import SAMPLE_RATE_HZ
from eartune.long_form import cut_at_silences, timed_segments
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.runtime import LongTranscript


@dataclass(frozen=True)
class TimedTokens:
    """The text of a clip, its tokens, and the start and duration of each.

    `starts_s` is None if the runtime reports no times, `durations_s` if it reports no durations.
    """

    text: str
    tokens: Sequence[str]
    starts_s: Sequence[float] | None
    durations_s: Sequence[float] | None = None


def long_transcript(
    transcribe_clip: Callable[[Waveform], TimedTokens], waveform_S: Waveform, *, position_s: float
) -> LongTranscript:
    """Decode a recording in clips, cut at quiet places; segments end at pauses and at ends of sentences.

    A clip without times is one segment. `position_s` is the duration of an encoder position.
    """
    found: list[Segment] = []
    for first, last in cut_at_silences(waveform_S):
        clip = Segment(first / SAMPLE_RATE_HZ, last / SAMPLE_RATE_HZ, "")
        found += _segments(transcribe_clip(waveform_S[first:last]), clip, position_s)
    return LongTranscript(tuple(found), None)


def _segments(clip_tokens: TimedTokens, clip: Segment, position_s: float) -> list[Segment]:
    if clip_tokens.starts_s is None:
        return [Segment(round(clip.start_s, 2), round(clip.end_s, 2), clip_tokens.text)] if clip_tokens.text else []
    starts = [round(start_s / position_s) for start_s in clip_tokens.starts_s]
    lengths = [max(1, round(each / position_s)) for each in clip_tokens.durations_s or ()] or [1] * len(starts)
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    return timed_segments(clip_tokens.tokens, starts, ends, clip, frame_s=position_s)
