"""All apostrophes as one, and the languages in which it is a letter of a word."""

from __future__ import annotations

import regex

# typewriter's and typographic ones, primes, accents typed for them, modifier letters, and those of Armenian, Hebrew,
# Greek and of languages that have a letter for it
_QUOTES = regex.compile("[‘’‛′‵`´＇՚׳΄᾽᾿῾]")
_LETTERS = regex.compile("[ʹʻʼʽʾʿꞋꞌ]")
# what stands for an apostrophe that is part of a word, and no punctuation; and for Hebrew's double one
LETTER_APOSTROPHE = "ʼ"
LETTER_GERSHAYIM = "ˮ"

_L = r"[\p{Latin}\p{Cyrillic}\p{Hebrew}]"
_A = "['ʼ]"

_WITHIN_WORDS = rf"(?<={_L}\p{{M}}*){_A}(?={_L})"
# before a vowel that begins a word: a letter for it is not a quotation mark, and ' is where no quotation ends behind it
_BEFORE_VOWELS = rf"ʼ(?={_L})|(?<!{_L}\p{{M}}*)'(?=[aeiouyāēīōūáéíóú])(?![^']*{_L}\p{{M}}*'(?!{_L}))"
# oʻ and gʻ end words too
_AFTER_O_AND_G = rf"(?<=[og]){_A}"
_BRETON_CH = rf"(?<=c){_A}(?=h)"

_RULES = {
    # Ukrainian, Belarusian, Rusyn; Guarani, Quechua, Aymara; Swahili, Ganda, Somali, Oromo; Kurdish, Tatar, Turkmen;
    # Chamorro; Hebrew, Yiddish
    "be uk rue gn qu ay sw lg so om ku kmr tt tk ch he yi": _WITHIN_WORDS,
    # Hawaiian, Tongan, Samoan, Tahitian; Hausa; Navajo
    "haw to sm ty ha nv": f"{_WITHIN_WORDS}|{_BEFORE_VOWELS}",
    "uz": f"{_WITHIN_WORDS}|{_AFTER_O_AND_G}",
    "br": _BRETON_CH,
}
LETTER_IN = {
    language: regex.compile(rule, flags=regex.IGNORECASE)
    for languages, rule in _RULES.items()
    for language in languages.split()
}
"""Where an apostrophe is a letter, or the sign of one, by language."""

_GERSHAYIM = regex.compile(r"(?<=\p{Hebrew})(?:[\"“”„‟″״]|'')(?=\p{Hebrew})")


def unify_apostrophes(text: str, *, language: str | None) -> str:
    """Return the text with ' for each apostrophe, but with a letter (ʼ) for one that is part of its word.

    In French, Italian or Catalan an apostrophe parts words, as in Whisper's normaliser: l'été is two. In Hebrew the
    sign of an acronym (״, or a quotation mark within the word) is a letter too.
    """
    text = _LETTERS.sub(LETTER_APOSTROPHE, _QUOTES.sub("'", text.replace("ŉ", "'n")))
    if language in ("he", "yi"):
        text = _GERSHAYIM.sub(LETTER_GERSHAYIM, text)
    if language in LETTER_IN:
        text = LETTER_IN[language].sub("\0", text)
    return text.replace(LETTER_APOSTROPHE, "'").replace("\0", LETTER_APOSTROPHE)
