"""Word units: text between spaces, or one character of a script that is written without spaces between words."""

from __future__ import annotations

import regex

# Scripts of Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan and others; the long vowel mark, iteration marks and
# the closing mark, which Unicode assigns to no script.
_SPACELESS = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Yi}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}ー〆〱-〵]"
)
BEGINS_SPACELESS = regex.compile(_SPACELESS)
# not inside a cluster that begins with a letter of another script
SPACELESS_CHARACTER = regex.compile(rf"(?={_SPACELESS})(?!\p{{Mn}})\X")
SPACES_BESIDE_SPACELESS = regex.compile(rf"(?<={_SPACELESS}\p{{M}}*) +| +(?={_SPACELESS})")


def part_units(text: str) -> str:
    """Return the text with single spaces between its words, each character of a script without spaces being a word.

    A character is a grapheme cluster, with its vowel signs and tone marks.
    """
    return " ".join(SPACELESS_CHARACTER.sub(r" \g<0> ", text).split())


def is_spaceless(word: str) -> bool:
    """Return whether a word of a normalised text is a character of a script without spaces."""
    return BEGINS_SPACELESS.match(word) is not None


def characters(normalized: str) -> str:
    """Return a normalised text for counting characters: without spaces beside characters that are words themselves.

    Counted as hits, these spaces would halve the error rate.
    """
    return str(SPACES_BESIDE_SPACELESS.sub("", normalized))
