"""Rows that hold a translation: what is spoken in one language is written in another."""

from __future__ import annotations

from eartune.languages import language_code
from eartune.manifest.utterance import Utterance


def translation_of(utterance: Utterance) -> tuple[str, str] | None:
    """Return the languages that are spoken and written where a row names two that differ, in Canary's keys."""
    source, target = (
        code if isinstance(value := utterance.extra.get(name), str) and (code := language_code(value)) else None
        for name in ("source_lang", "target_lang")
    )
    source = source or utterance.language
    return (source, target) if source and target and source != target else None
