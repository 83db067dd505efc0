"""Texts with the times of their words in Canary's format: `<|0|> good <|5|> <|6|> morning <|12|>`.

A time is a token with the number of encoder frames, of 80 ms, from the start of the utterance.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from eartune.families._nemo.base import POSITION_S
from eartune.manifest import Utterance
from eartune.text.symbols import TIME

_EXAMPLE = "<|0|> good <|5|> <|6|> morning <|12|>"
_PART = re.compile(r"\s*<\|(\d+)\|>([^<|>]*[^<|>\s][^<|>]*)<\|(\d+)\|>\s*")


def has_times(text: str) -> bool:
    """Return whether a text has times."""
    return TIME.search(text) is not None


def without_times(text: str) -> str:
    """Return a text without its times."""
    return " ".join(TIME.sub(" ", text).split())


def timed_text(utterance: Utterance) -> str:
    """Return the text with its times, from the row's text or its segments."""
    if has_times(utterance.text):
        return utterance.text
    parts, last_s, last = [], 0.0, 0
    for segment in utterance.segments:
        if segment.text.strip():
            # adjacent segments may overlap slightly
            start = max(last, _frame(segment.start_s)) if segment.start_s >= last_s else _frame(segment.start_s)
            last_s, last = segment.start_s, max(start, _frame(segment.end_s))
            parts.append(f"<|{start}|> {segment.text} <|{last}|>")
    return " ".join(parts)


def times_problem(utterance: Utterance, symbols: Collection[str]) -> str | None:
    """Return why a text cannot be trained with times, or None; `symbols` are the model's tokens."""
    text = timed_text(utterance)
    if not utterance.text.strip():
        return None
    if not text:
        return (
            f"timestamp is yes, and the text has no times: write them, as in {_EXAMPLE} (frames of 80 ms), or remove "
            "timestamp"
        )
    last, position = 0, 0
    while part := _PART.match(text, position):
        start, end = int(part[1]), int(part[3])
        if not last <= start <= end:
            first, second = (last, start) if start < last else (start, end)
            return f"times decrease: <|{second}|> after <|{first}|>"
        last, position = end, part.end()
    if position < len(text):
        return (
            f"a word without times on both sides at {text[position : position + 40]!r}: write one before and one after "
            f"each, as in {_EXAMPLE}"
        )
    # an utterance may end within a frame
    if last * POSITION_S > utterance.duration_s + POSITION_S:
        return (
            f"time <|{last}|> is at {last * POSITION_S:.2f} s (frames of 80 ms), and the clip ends at "
            f"{utterance.duration_s:.2f} s: give times in frames from the start of the clip"
        )
    unknown = next((time[0] for time in TIME.finditer(text) if time[0] not in symbols), None)
    if unknown is not None:
        most = max((int(time[1]) for time in map(TIME.fullmatch, symbols) if time), default=None)
        has = "none" if most is None else f"times up to <|{most}|> ({most * POSITION_S:.2f} s)"
        return f"the model has no token for the time {unknown}; it has {has}: cut the clip, or remove timestamp"
    return None


def _frame(seconds: float) -> int:
    return round(seconds / POSITION_S)
