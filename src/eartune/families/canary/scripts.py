"""Scripts of languages: a text in another script than its language's is hardly a text of that language."""

from __future__ import annotations

import unicodedata

# script, as names of characters begin -> languages that are written in it alone
_TABLE = {
    (
        "LATIN",
    ): "en de fr es it pt nl pl cs sk sl hr hu ro sv da no nb nn fi et lv lt mt ca gl eu ga cy is tr vi id ms sw",
    ("CYRILLIC",): "ru uk be bg mk ky tg mn",
    ("GREEK",): "el",
    ("ARABIC",): "ar fa ur ps",
    ("HEBREW",): "he yi",
    ("DEVANAGARI",): "hi mr ne",
    ("BENGALI",): "bn as",
    ("TAMIL",): "ta",
    ("TELUGU",): "te",
    ("THAI",): "th",
    ("GEORGIAN",): "ka",
    ("ARMENIAN",): "hy",
    ("HANGUL", "CJK"): "ko",
    ("CJK",): "zh yue",
    ("CJK", "HIRAGANA", "KATAKANA"): "ja",
}
_SCRIPTS = {language: scripts for scripts, languages in _TABLE.items() for language in languages.split()}


def is_in_script_of(text: str, language: str | None) -> bool:
    """Tell whether a text could be of a language: it holds a letter of its script, or none at all."""
    scripts = _SCRIPTS.get(language or "")
    letters = [letter for letter in text if letter.isalpha()]
    return scripts is None or not letters or any(unicodedata.name(c, "").startswith(scripts) for c in letters)
