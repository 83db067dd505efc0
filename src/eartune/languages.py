"""Languages: ISO 639-1 codes, and other spellings in corpora."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

from eartune.errors import nearest


def _read_table() -> dict[str, list[str]]:
    """Return the spellings of each code, the English name first.

    The table has all of ISO 639-1, and further codes of Whisper, Common Voice and FLEURS (three letters).
    """
    _, *lines = Path(__file__).with_name("languages.tsv").read_text(encoding="utf-8").splitlines()
    return {code: spellings.split(", ") for code, spellings in (line.split("\t") for line in lines)}


_SPELLINGS = _read_table()

LANGUAGE_NAMES = {code: name for code, (name, *_) in _SPELLINGS.items()}
"""Code -> English name."""

_CODES = {
    spelling.lower().replace(" ", "_"): code
    for code, spellings in _SPELLINGS.items()
    for spelling in (code, *spellings)
}


@cache
def language_code(name: str) -> str | None:
    """Return the code for a code, an English name, a locale or a token (ru, rus, Russian, ru-RU, <|ru|>).

    It is the ISO 639-1 code if there is one, else a code of three letters (haw, yue, cnh, nan, ...), even if it is not
    in the table. None: neither a known name nor a code. Javanese is jv (Whisper's own code for it is jw), and Bokmål
    is Norwegian.
    """
    bare = name.strip().lower().removeprefix("<|").removesuffix("|>")
    spelled = "_".join(bare.replace("-", " ").replace("_", " ").split())
    locale = re.fullmatch(r"([a-z]{2,3})([-_][a-z0-9]{2,8})*", bare)
    if locale is None:
        return _CODES.get(spelled)
    # all codes of two letters are in the table
    return _CODES.get(spelled) or _CODES.get(locale[1]) or (locale[1] if len(locale[1]) == 3 else None)


def locale_of(name: str) -> str | None:
    """Return a language with its region (pt-BR, also from pt_br or <|pt-BR|>), or None without a region."""
    bare = name.strip().removeprefix("<|").removesuffix("|>")
    match = re.fullmatch(r"([A-Za-z]{2,3})[-_]([A-Za-z]{2})", bare)
    return None if match is None or language_code(bare) is None else f"{match[1].lower()}-{match[2].upper()}"


def three_letters(code: str) -> str:
    """Return the code of three letters (ISO 639-3) of a language, where the table has one; else the code itself."""
    return next((name for name in _SPELLINGS.get(code, []) if len(name) == 3 and name.islower()), code)


# ISO codes -> OpenAI's own codes
OPENAI_CODES = {"jv": "jw", "nb": "no", "fil": "tl"}


def openai_code(language: str | None) -> str | None:
    """Return the code of a language in OpenAI's token for it."""
    return language if language is None else OPENAI_CODES.get(language, language)


# the language prompt for automatic detection, and the language tags that models with prompts write after their texts
AUTO = "auto"
LANGUAGE_TAG = re.compile(r"\s*<[a-z]{2}-[A-Z]{2}>")


def prompt_name(language: str | None, known: Collection[str]) -> str:
    """Return the name of a language (en-GB, ru) among those of NeMo's prompts.

    It is the name itself, or without its region, or the first name with a region (ru-RU), or `auto`.
    """
    if language is None:
        return AUTO
    bare = language.split("-")[0]
    for name in (language, bare):
        if name in known:
            return name
    return next((name for name in known if name.startswith(f"{bare}-")), AUTO)


def unknown_language(name: str) -> str:
    """Return the message for a language that language_code does not know, with the nearest names."""
    close = nearest(name.lower(), sorted(_CODES))
    return f"language {name!r} is not known; give an ISO 639-1 code such as en or ru, or an English name.{close}"
