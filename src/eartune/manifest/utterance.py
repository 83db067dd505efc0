"""Records of a manifest: utterances and their segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Segment:
    """A stretch of transcribed speech; times in seconds from the beginning of the recording or utterance."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of a recording and its transcript; `audio` is absolute, an empty `text` means no speech.

    `language` is an ISO 639 code; `locale` the same with its region (pt-BR), where the row names one.
    `is_cut` tells a stretch of a longer recording from a whole one. `channel` is the one
    to listen to, counted from 0; None: the mean of all. `segments` are the parts of the text with their times, in
    seconds from the utterance's beginning, where the row gives them.
    `source` says where this was read ('train.jsonl:17'), for messages. `extra` holds the other keys of
    the row (source_lang, target_lang, pnc, split, ...), which are written again as they came.
    """

    audio: Path
    text: str
    duration_s: float
    language: str | None = None
    offset_s: float = 0.0
    speaker: str | None = None
    source: str = ""
    # Any: values of a user's own keys
    extra: Mapping[str, Any] = field(default_factory=dict)
    is_cut: bool = False
    channel: int | None = None
    segments: tuple[Segment, ...] = ()
    locale: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What was read, in order; findings about the rows that were left out; remarks on what is odd about the others."""

    utterances: tuple[Utterance, ...]
    skipped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
