"""Records of a manifest: utterances with their segments, languages and samples."""

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
    """A stretch of transcribed speech; times in seconds from the start of the recording or utterance.

    `words` are the stretches of its words, where a decoder tells their times.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of a recording and its transcript; `audio` is absolute, an empty `text` means no speech.

    `language` is an ISO 639 code; `locale` the same with its region (pt-BR), if the row has one.
    `is_cut` is true for a stretch of a longer recording, false for a whole recording. `channel` is the channel to
    read, counted from 0; None: the mean of all. `segments` are the parts of the text with their times, in seconds from
    the start of the utterance, if the row has them. `source` is file and line ('train.jsonl:17'), for messages.
    `extra` has the other keys of the row (source_lang, target_lang, pnc, split, ...), which are written unchanged.
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
    """Utterances in order, findings on skipped rows, and remarks on suspect rows among the others."""

    utterances: tuple[Utterance, ...]
    skipped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def load_waveform(utterance: Utterance) -> Samples:
    """Decode an utterance to 16 kHz mono. Raises InputError with its row."""
    try:
        return decode(
            utterance.audio, offset_s=utterance.offset_s, duration_s=utterance.duration_s, channel=utterance.channel
        )
    except InputError as error:
        raise InputError(f"{utterance.source}: {error}" if utterance.source else str(error)) from error


def translation_of(utterance: Utterance) -> tuple[str, str] | None:
    """Return the source and target languages of a row with two different ones, in NeMo's keys; None for others."""
    source, target = (
        code if isinstance(value := utterance.extra.get(name), str) and (code := language_code(value)) else None
        for name in ("source_lang", "target_lang")
    )
    source = source or utterance.language
    return (source, target) if source and target and source != target else None
