"""Records of a manifest: utterances with their segments, their languages and their samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eartune.audio import Samples, decode
from eartune.errors import InputError
from eartune.languages import language_code


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


def load_waveform(utterance: Utterance) -> Samples:
    """Decode an utterance to 16 kHz mono. Raises InputError that names its row."""
    try:
        return decode(
            utterance.audio, offset_s=utterance.offset_s, duration_s=utterance.duration_s, channel=utterance.channel
        )
    except InputError as error:
        raise InputError(f"{utterance.source}: {error}" if utterance.source else str(error)) from error


def translation_of(utterance: Utterance) -> tuple[str, str] | None:
    """Return the languages that are spoken and written where a row names two that differ, in Canary's keys."""
    source, target = (
        code if isinstance(value := utterance.extra.get(name), str) and (code := language_code(value)) else None
        for name in ("source_lang", "target_lang")
    )
    source = source or utterance.language
    return (source, target) if source and target and source != target else None
