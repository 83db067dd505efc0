"""Transcript normalisers: differences that must not count as errors are removed before scoring.

A normaliser gets one text only, never reference and hypothesis together, so both are treated equally.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from whisper_normalizer.english import EnglishTextNormalizer

from eartune.errors import InputError
from eartune.text.basic import basic_normalizer
from eartune.text.russian import normalize_russian
from eartune.text.spellings import unify_spellings
from eartune.text.units import part_units

# whisper_normalizer 0.1.15 has these beyond Whisper's own; the last would hide cause against because.
NOT_IN_WHISPER = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")


def normalize(text: str, *, language: str | None) -> str:
    """Return `text` as it is compared in the language; see normalizer_for."""
    return normalizer_for(language)(text)


@cache
def normalizer_for(language: str | None) -> Callable[[str], str]:
    """Return the normaliser of a language: lower case, no punctuation, single spaces, none at the ends.

    `language` is an ISO 639 code of two or three letters; None: not known.

    en: Whisper's English normaliser (Radford et al. 2022, appendix C): also numbers, currency, contractions,
        titles, British spelling, disfluencies. Its quirks stay, so that rates compare with published ones:
        an ellipsis at the end leaves a word of one dot.
    ru: Whisper's basic normaliser, е for ё, no stress marks, cardinals as digits; see russian.py.
    all others, and None: Whisper's basic normaliser.

    In every language, whether it is named or not:

    - A character (grapheme cluster) of a script that marks no words with spaces is a word (Chinese, Japanese, Thai,
      Lao, Khmer, Burmese, Tibetan, ...); words of other scripts among them stay words, as in the mixed error rate of
      code-switched corpora. See units.py.
    - Equivalent spellings become one: composed and decomposed letters, full and half width, digits of any script,
      typographic dashes and apostrophes, tatweel, invisible characters. See spellings.py.
    - Text in brackets <>, [] and () is dropped, as Whisper does; marks.py finds what is dropped.

    Unlike Whisper, the basic one keeps combining marks: Whisper puts a space in place of each,
    which breaks Hindi, Tamil or Thai words at their vowels. Where an apostrophe is a letter (Ukrainian, Uzbek,
    Hawaiian, ...) it stays part of its word; Whisper splits the word.

    Not merged, as they are different spellings of a word and not different ways to type it: traditional and simplified
    Chinese, ß and ss, é and e, й and и, Arabic or Hebrew with and without vowel points, numbers in words and in digits
    (except in English and Russian), Serbian in Cyrillic and in Latin, one word and its parts (e-mail, email).

    Raises InputError for something other than a code, such as "russian".
    """
    if language is not None and not re.fullmatch("[a-z]{2,3}", language):
        raise InputError(
            f"{language!r} is not a language code; give two letters of ISO 639-1 such as 'en' or 'ru', "
            "or no language at all"
        )
    if language == "en":
        return english_normalizer()
    if language == "ru":
        return normalize_russian
    return basic_normalizer(language)


def english_normalizer() -> Callable[[str], str]:
    """Return Whisper's normaliser, with typographic apostrophes and dashes replaced by ASCII ones first.

    By itself it handles don't but splits don’t into two words.
    """
    whisper_english = EnglishTextNormalizer()
    for pattern in NOT_IN_WHISPER:
        whisper_english.replacers.pop(pattern, None)
    return lambda text: part_units(str(whisper_english(unify_spellings(text, language="en"))))
