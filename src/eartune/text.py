"""Transcript normalisers: what must not count as an error is made equal before scoring.

A normaliser sees one text only, never reference and hypothesis together, so both are treated alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from eartune.errors import InputError
from eartune.russian_numbers import multiply_decimals, write_digits

SPACELESS_LANGUAGES = frozenset({"zh", "yue", "ja", "th", "lo", "my"})
"""Written without spaces between words; a "word" is one character here, as in the Whisper paper, appendix C."""

DOTTED_I_LANGUAGES = frozenset({"tr", "az"})

# whisper_normalizer 0.1.15 has these beyond Whisper's own; the last would hide cause against because.
NOT_IN_WHISPER = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")

# soft hyphen, joiners, direction marks, byte order mark, variation selectors
INVISIBLE = re.compile("[\u00ad\u200c-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")
ZERO_WIDTH_SPACE = "\u200b"

STRESS_MARKS = re.compile("[\u0300\u0301]")
# A plain space may also part two numbers; only a last group of 000 tells.
GROUPED_DIGITS = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}(?:(?:[\u00a0\u2009\u202f]\d{3}(?!\d))+|(?: \d{3}(?!\d))* 000(?!\d))"
)
CARDINAL_ENDING = re.compile(r"(?:(?<=\d)[-‐‑]?(?:ти|тью|мя|ух|ех)|(?<=[78])[-‐‑]?ми|(?<=[234])(?<!1\d)[-‐‑]?х)\b")
ORDINAL_ENDING = re.compile(r"(?<=\d)[-‐‑]?[аеиоуыья]?(й|я|е|го|му|м|х|ю|ми)\b")
PERCENT_SIGN = re.compile(r"(?<=\d)\s*%")
PERCENT_WORD = re.compile(r"(?<=\d) процент(?:а|у|ом|е|ы|ам|ами|ах)?\b")


def normalize(text: str, *, language: str | None) -> str:
    """Return `text` as it is compared in the language; see normalizer_for."""
    return normalizer_for(language)(text)


@cache
def normalizer_for(language: str | None) -> Callable[[str], str]:
    """Return the normaliser of a language: lower case, no punctuation, single spaces, none at the ends.

    `language` is an ISO 639-1 code, or what Whisper uses where there is none (haw, yue); None: not known.

    en: Whisper's English normaliser (Radford et al. 2022, appendix C): also numbers, currency, contractions,
        titles, British spelling, disfluencies. Its quirks stay, so that rates compare with published ones:
        an ellipsis at the end leaves a word of one dot.
    ru: Whisper's basic normaliser, е for ё, no stress marks, cardinals as digits; see _normalize_russian.
    zh, yue, ja, th, lo, my: the basic one, each character (grapheme cluster) a word, as no spaces mark the words.
    all others: Whisper's basic normaliser.

    Differing from Whisper, the basic one keeps combining marks: Whisper puts a space in place of each,
    which breaks Hindi, Tamil or Thai words at their vowels. It also drops invisible characters.
    It merges no letters: й is not и, é is not e; Arabic or Hebrew with vowel points is not the same as without.

    Raises InputError for something other than a code, such as "russian".
    """
    if language is not None and not re.fullmatch("[a-z]{2,3}", language):
        raise InputError(
            f"{language!r} is not a language code; give two letters of ISO 639-1 such as 'en' or 'ru', "
            "or no language at all"
        )
    if language == "en":
        return _english_normalizer()
    if language == "ru":
        return _normalize_russian
    return _basic_normalizer(language)


def _english_normalizer() -> Callable[[str], str]:
    whisper_english = EnglishTextNormalizer()
    for pattern in NOT_IN_WHISPER:
        whisper_english.replacers.pop(pattern, None)
    return lambda text: str(whisper_english(text)).strip()


@cache
def _basic_normalizer(language: str | None) -> Callable[[str], str]:
    whisper_basic = BasicTextNormalizer(split_letters=language in SPACELESS_LANGUAGES, preserve_marks=True)

    def normalize_basic(text: str) -> str:
        if language in DOTTED_I_LANGUAGES:
            text = text.replace("I", "ı").replace("İ", "i")
        text = INVISIBLE.sub("", text).replace(ZERO_WIDTH_SPACE, " ")
        return str(whisper_basic(text)).strip()

    return normalize_basic


def _normalize_russian(text: str) -> str:
    """Return Russian text in one spelling.

    - Cardinals become digits in any case and gender, so пять, пяти and 5 agree. один and одна become 1 wherever
      they stand, and so do homographs: свою семью gives свою 7. These stay words: раз, одни, двое, полтора,
      and a plural scale with no number before it (тысяч людей).
    - Ordinals in words stay words: сорок пятый gives 40 пятый. In digits they are one word with its ending:
      5-го and 5-ого give 5го. An ending of a cardinal goes: 5-ти gives 5, 2-х gives 2, but 90-х gives 90х.
    - 1 000 gives 1000 where the spaces are narrow or do not break, or where the last group is 000.
    - 2,5 тысячи gives 2500; any other decimal comma is punctuation.
    - 5 % and 5 процента give 5 процентов; № gives номер.
    - Punctuation and hyphens part words, never numbers: какой-то gives какой то; сто, пять gives 105.
    """
    text = unicodedata.normalize("NFC", text.lower())
    text = STRESS_MARKS.sub("", text).replace("ё", "е").replace("№", " номер ")
    text = GROUPED_DIGITS.sub(lambda match: "".join(match[0].split()), text)
    text = multiply_decimals(text)
    text = ORDINAL_ENDING.sub(r"\1", CARDINAL_ENDING.sub("", text))
    text = PERCENT_SIGN.sub(" процентов ", text)
    words = _basic_normalizer("ru")(text).split()
    return PERCENT_WORD.sub(" процентов", " ".join(write_digits(words)))
