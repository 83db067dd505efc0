"""Whisper's English normaliser, as it was published."""

from __future__ import annotations

from collections.abc import Callable

from whisper_normalizer.english import EnglishTextNormalizer

from eartune.text.spellings import unify_spellings
from eartune.text.units import part_units

# whisper_normalizer 0.1.15 has these beyond Whisper's own; the last would hide cause against because.
NOT_IN_WHISPER = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")


def english_normalizer() -> Callable[[str], str]:
    """Return Whisper's normaliser, which is given typographic apostrophes and dashes as ASCII ones.

    By itself it knows don't and not don’t, of which it makes two words.
    """
    whisper_english = EnglishTextNormalizer()
    for pattern in NOT_IN_WHISPER:
        whisper_english.replacers.pop(pattern, None)
    return lambda text: part_units(str(whisper_english(unify_spellings(text, language="en"))))
