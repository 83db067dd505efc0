"""Whisper's basic normaliser, but with combining marks kept, and the rules of the language for i and ı."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache

import regex
from whisper_normalizer.basic import BasicTextNormalizer

from eartune.text.spellings import unify_spellings
from eartune.text.units import part_units

# languages in which I is the capital of ı
DOTTED_I_LANGUAGES = frozenset({"tr", "az", "crh", "gag"})

# NFKC turns ¨ into a space with a mark on it, which would be a word.
SPACING_ACCENTS = regex.compile(r"\p{Sk}")
ENCLOSING_MARKS = regex.compile(r"\p{Me}")
MARKS_ON_NOTHING = regex.compile(r"(?<!\S)\p{Mn}+")
DOT_ABOVE_I = regex.compile(r"(?<=[ijіј])\u0307+")


@cache
def basic_normalizer(language: str | None) -> Callable[[str], str]:
    """Return the normaliser of a language that has no other; see normalizer_for."""
    whisper_basic = BasicTextNormalizer(preserve_marks=True)

    def normalize_basic(text: str) -> str:
        text = unify_spellings(text, language=language)
        if language in DOTTED_I_LANGUAGES:
            text = text.replace("I", "ı").replace("İ", "i")
        text = ENCLOSING_MARKS.sub("", SPACING_ACCENTS.sub(" ", text))
        text = unicodedata.normalize("NFC", DOT_ABOVE_I.sub("", str(whisper_basic(text))))
        return part_units(MARKS_ON_NOTHING.sub("", text))

    return normalize_basic
