"""Transcripts with times: lists of sentences, and Whisper's timestamp tokens, `<|0.00|> Good morning.<|1.20|>`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from eartune.errors import InputError, shown
from eartune.languages import language_code
from eartune.manifest.columns import is_missing
from eartune.manifest.times import seconds_of
from eartune.manifest.utterance import Segment
from eartune.parsing import parse_json

_MARK = re.compile(r"<\|([^|<>]{1,40})\|>")
_TIME = re.compile(r"\d+\.\d+")
# [00:01.20], (0:12), 00:00:01,200 --> 00:00:02,000, and [0.0 --> 2.5], as programs print them
_PRINTED_TIME = re.compile(r"[\[(]\s*(?:\d+:)?\d{1,2}:\d{2}(?:[.,]\d+)?\s*(?:-+>[^\])]*)?[\])]|\d[\d:.,]*\s*-->\s*\d")
_BEGIN = "startoftranscript"
_NO_SPEECH = frozenset({"nospeech", "nocaptions"})
# tokens of a prompt or around it, which are redundant in a row
_PROMPT = frozenset({_BEGIN, "transcribe", "notimestamps", "endoftext"}) | _NO_SPEECH
# overlap of two segments that rounding explains
_OVERLAP_S = 0.1
# distance beyond the end of the utterance that rounding or an estimated end of speech explains
_BEYOND_S = 0.5


@dataclass(frozen=True, slots=True)
class TimedText:
    """A transcript without special tokens, its segments (empty: no times), and the language of its language token."""

    text: str
    segments: tuple[Segment, ...] = ()
    language: str | None = None


def read_marks(text: str) -> TimedText | str:
    """Parse Whisper's tokens of times, prompt and no speech in a text on one line, or return a finding.

    Tokens of other models (`<|5|>`, `<|pnc|>`) stay in the text, for the family to interpret.
    """
    if printed := _PRINTED_TIME.search(text):
        return f"the text holds printed times, {printed[0]!r}: remove them, or give start and end"
    lead, *rest = _MARK.split(text)
    marks = list(zip(rest[::2], rest[1::2], strict=True))
    if not any(_TIME.fullmatch(mark) or mark in _PROMPT for mark, _ in marks):
        return TimedText(text)
    if any(mark == "translate" for mark, _ in marks):
        return "the text holds <|translate|>: remove such tokens, and translate with --task translate"
    language = language_code(marks[1][0]) if marks[0][0] == _BEGIN and len(marks) > 1 else None
    if language is not None:
        del marks[1]
    times = [(float(mark), after.strip()) for mark, after in marks if _TIME.fullmatch(mark)]
    others = "".join(
        after if mark in _PROMPT else f"<|{mark}|>{after}" for mark, after in marks if not _TIME.fullmatch(mark)
    )
    bare = " ".join(f"{lead}{others}".split())
    if bare and any(mark in _NO_SPEECH for mark, _ in marks):
        return f"the text {shown(text)} has a token for no speech, and words"
    if not times:
        return TimedText(bare, (), language)
    if bare:
        return f"the text {shown(text)} has words outside its times; write <|0.00|> words<|1.20|> for each part"
    segments = _between_marks(times)
    if isinstance(segments, str):
        return segments
    return TimedText(" ".join(segment.text for segment in segments), segments, language)


def _between_marks(times: list[tuple[float, str]]) -> tuple[Segment, ...] | str:
    pairs = zip(times[::2], times[1::2], strict=False)
    segments = [Segment(start_s, end_s, " ".join(text.split())) for (start_s, text), (end_s, _) in pairs]
    if len(times) % 2 or any(text for _, text in times[1::2]) or not all(segment.text for segment in segments):
        shown_times = " ".join(f"<|{time:.2f}|>" for time, _ in times[:6])
        return f"the times in the text do not come in pairs around words: {shown_times}; write <|0.00|> words<|1.20|>"
    return _in_order(segments)


def read_segments(value: object) -> tuple[Segment, ...] | str:
    """Parse a list of segments with start, end and text, or transformers' `timestamp`; or return a finding."""
    if isinstance(value, str):
        try:
            value = parse_json(value, object, where="")
        except InputError:
            return f"is {shown(value)}, not a list of parts with start, end and text"
    if not isinstance(value, list):
        return f"is {shown(value)}, not a list of parts with start, end and text"
    segments = []
    for number, part in enumerate(value, start=1):
        segment = _segment(part)
        if segment is None:
            return f"part {number} is {shown(part)}; it needs start and end in seconds, and text"
        segments.append(segment)
    return _in_order(segments)


def _segment(part: object) -> Segment | None:
    if not isinstance(part, Mapping):
        return None
    start, end = part.get("start"), part.get("end")
    if isinstance(part.get("timestamp"), (list, tuple)) and len(part["timestamp"]) == 2:
        start, end = part["timestamp"]
    text = next((part[name] for name in ("text", "sentence", "transcript") if not is_missing(part.get(name))), None)
    start_s, end_s = seconds_of(start), seconds_of(end)
    if not isinstance(text, str) or start_s is None or end_s is None:
        return None
    return Segment(start_s, end_s, " ".join(text.split()))


def _in_order(segments: list[Segment]) -> tuple[Segment, ...] | str:
    ordered: list[Segment] = []
    before_s = 0.0
    for number, segment in enumerate(segments, start=1):
        start_s = before_s if before_s - _OVERLAP_S <= segment.start_s < before_s else segment.start_s
        if not before_s <= start_s < segment.end_s < math.inf:
            return (
                f"part {number} of the text lasts from {segment.start_s:g} s to {segment.end_s:g} s"
                f"{f', and the part before it to {before_s:g} s' if number > 1 else ''}: times must increase"
            )
        before_s = segment.end_s
        ordered.append(Segment(start_s, segment.end_s, segment.text))
    return tuple(segment for segment in ordered if segment.text)


def place_segments(segments: tuple[Segment, ...], *, offset_s: float, duration_s: float) -> tuple[Segment, ...] | str:
    """Return segments with times relative to the start of the utterance, or a finding on one that ends after it.

    Input times may be relative to the start of the recording: then all of them are at or after the offset.
    """
    if segments and offset_s and segments[-1].end_s > duration_s + _BEYOND_S and segments[0].start_s >= offset_s:
        segments = tuple(Segment(s.start_s - offset_s, s.end_s - offset_s, s.text) for s in segments)
    late = next((s for s in segments if s.end_s > duration_s + _BEYOND_S), None)
    if late is not None:
        return f"{shown(late.text)} ends at {late.end_s:.2f} s, and the utterance is {duration_s:.2f} s long"
    return tuple(Segment(s.start_s, min(s.end_s, duration_s), s.text) for s in segments if s.start_s < duration_s)
