"""What a manifest holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech and what is said in it; `audio` is absolute.

    `language` is an ISO 639-1 code. `segment` tells a stretch of a longer recording from a whole one.
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
    segment: bool = False


@dataclass(frozen=True)
class Manifest:
    """What was read, in order, and findings about the rows that were left out."""

    utterances: tuple[Utterance, ...]
    skipped: tuple[str, ...] = ()
