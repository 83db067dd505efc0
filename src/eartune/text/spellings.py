"""One spelling for characters typed in several ways: widths, digits, dashes, apostrophes, letter forms, invisible."""

from __future__ import annotations

import unicodedata

import regex

# A zero width space separates words in Khmer, Thai or Burmese; the other invisible characters (soft hyphen, joiners,
# direction marks, byte order mark, variation selectors, fillers) separate nothing.
ZERO_WIDTH_SPACE = "\u200b"
INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]")
CONTROL = regex.compile(r"\p{Cc}")
# Brackets keep their width: in Chinese and Japanese text in （） is spoken, and Whisper keeps it.
FULL_WIDTH = regex.compile("[！-～--[（）＜＞［］]]", flags=regex.V1)
FULL_WIDTH_SHIFT = ord("！") - ord("!")
OTHER_DIGITS = regex.compile(r"[\p{Nd}--[0-9]]", flags=regex.V1)
# elongation marks of Arabic and N'Ko; without a sound in any language
STRETCHES = regex.compile("[\u0640\u07fa]")
# hyphen, hyphen that does not break, figure dash, en dash, em dash, minus
DASHES_IN_WORDS = regex.compile(r"(?<=[\p{L}\p{M}\p{N}])[‐‑‒–—−](?=[\p{L}\p{N}])")

# Letters that older encodings write with a joiner, which is dropped: Malayalam's chillus, Bengali's khanda ta.
JOINED_LETTERS = dict(zip(("ണ്", "ന്", "ര്", "ല്", "ള്", "ക്", "ত্"), "ൺൻർൽൾൿৎ", strict=True))
# Thai and Lao: the circle of am belongs above the tone mark, however it was typed; two e look like ae.
MISPLACED_CIRCLE = regex.compile("(\u0e4d)([\u0e48-\u0e4b])(?=\u0e32)|(\u0ecd)([\u0ec8-\u0ecb])(?=\u0eb2)")
LOOKALIKES = {"เเ": "แ", "ເເ": "ແ"}
# Arabic's kaf and yeh in languages that have their own, and no other
KAF_AND_YEH = str.maketrans("كي", "کی")
KAF_AND_BOTH_YEHS = str.maketrans("كيى", "کیی")
LETTERS = {"ur": KAF_AND_YEH, "fa": KAF_AND_BOTH_YEHS, "ckb": KAF_AND_BOTH_YEHS}

# apostrophes: typewriter's and typographic ones, primes, accents typed for them, modifier letters, and those of
# Armenian, Hebrew, Greek and of languages that have a letter for it
_QUOTES = regex.compile("[‘’‛′‵`´＇՚׳΄᾽᾿῾]")
_LETTERS = regex.compile("[ʹʻʼʽʾʿꞋꞌ]")
# the letter for an apostrophe that is part of a word, not punctuation; and for Hebrew's double one
LETTER_APOSTROPHE = "ʼ"
LETTER_GERSHAYIM = "ˮ"
_L = r"[\p{Latin}\p{Cyrillic}\p{Hebrew}]"
_A = "['ʼ]"
# marks on letters; spacing ones are vowels of other scripts, which may be words of their own
_M = r"\p{Mn}*"
_WITHIN_WORDS = rf"(?<={_L}{_M}){_A}(?={_L})"
# before a vowel at the start of a word: ʼ is always a letter, and ' is one if no quotation ends after it
_BEFORE_VOWELS = rf"ʼ(?={_L})|(?<!{_L}{_M})'(?=[aeiouyāēīōūáéíóú])(?![^']*{_L}{_M}'(?!{_L}))"
# oʻ and gʻ end words too
_AFTER_O_AND_G = rf"(?<=[og]){_A}"
_BRETON_CH = rf"(?<=c){_A}(?=h)"
# where an apostrophe is a letter, by language
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
_GERSHAYIM = regex.compile(r"(?<=\p{Hebrew})(?:[\"“”„‟″״]|'')(?=\p{Hebrew})")


def unify_spellings(text: str, *, language: str | None) -> str:
    """Return the text, composed (NFC), with one spelling for each character; case and punctuation stay.

    Merged in every language: full width letters and signs with ASCII ones, digits of any script with 0-9, hyphens
    within words, all apostrophes; tatweel and invisible characters are removed.
    Merged in Persian, Sorani and Urdu: Arabic's kaf and yeh with their own. Other variants of Arabic letters (hamza,
    alef, teh marbuta, heh) are spellings of their own and stay.
    """
    text = unicodedata.normalize("NFC", text)
    for typed, letter in JOINED_LETTERS.items():
        text = text.replace(f"{typed}\u200d", letter)
    text = CONTROL.sub(" ", text.replace(ZERO_WIDTH_SPACE, " "))
    text = STRETCHES.sub("", INVISIBLE.sub("", text))
    text = FULL_WIDTH.sub(lambda match: chr(ord(match[0]) - FULL_WIDTH_SHIFT), text)
    # regex supports digits of newer Unicode than Python does
    text = OTHER_DIGITS.sub(lambda match: str(unicodedata.decimal(match[0], match[0])), text)
    text = MISPLACED_CIRCLE.sub(lambda match: (match[2] or match[4]) + (match[1] or match[3]), text)
    for typed, letter in LOOKALIKES.items():
        text = text.replace(typed, letter)
    text = text.translate(LETTERS.get(language or "", {}))
    # a removed character may have separated a letter from its mark
    text = unicodedata.normalize("NFC", text)
    return str(DASHES_IN_WORDS.sub("-", unify_apostrophes(text, language=language)))


def unify_apostrophes(text: str, *, language: str | None) -> str:
    """Return the text with ' for each apostrophe, but with a letter (ʼ) for one that is part of its word.

    In French, Italian or Catalan an apostrophe separates words, as in Whisper's normaliser: l'été is two. In Hebrew the
    sign of an acronym (״, or a quotation mark within the word) is a letter too.
    """
    text = _LETTERS.sub(LETTER_APOSTROPHE, _QUOTES.sub("'", text.replace("ŉ", "'n")))
    if language in ("he", "yi"):
        text = _GERSHAYIM.sub(LETTER_GERSHAYIM, text)
    if language in LETTER_IN:
        text = LETTER_IN[language].sub("\0", text)
    return text.replace(LETTER_APOSTROPHE, "'").replace("\0", LETTER_APOSTROPHE)
