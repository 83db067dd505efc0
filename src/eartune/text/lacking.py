"""Explanations for characters that a tokenizer lacks: their kinds, and what to do about them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NUM_SHOWN = 8
_OTHER_MODEL = "take a model of this language, such as a multilingual one"
_MARK = re.compile(r"[\[({<][^\[\](){}<>]{1,40}[\])}>]")


@dataclass(frozen=True)
class Lacking:
    """Kinds of missing characters, and advice; `is_case_alone` if all are known in the other case."""

    kinds: tuple[str, ...]
    counts: str
    """the kinds, each with its number of characters and the most frequent ones"""
    advice: str
    is_case_alone: bool


def explain(
    unknown: Counter[str], texts: Sequence[str], has: Callable[[str], bool], *, on_letters: str = _OTHER_MODEL
) -> Lacking:
    """Explain the unknown characters of texts; `has` returns whether all given characters have tokens.

    `on_letters` is the advice for missing letters.
    """
    by_kind: dict[str, Counter[str]] = {}
    for character, count in unknown.items():
        by_kind.setdefault(_kind(character, has), Counter())[character] = count
    ordered = sorted(by_kind, key=lambda kind: -by_kind[kind].total())
    counts = [f"{_named(kind)} ({by_kind[kind].total()}: {_shown(by_kind[kind])})" for kind in ordered]
    advice = dict.fromkeys(_advice(kind, by_kind[kind], texts) or on_letters for kind in ordered)
    is_case_alone = set(by_kind) <= {"capitals", "small letters"}
    return Lacking(tuple(map(_named, ordered)), ", ".join(counts), "; ".join(advice), is_case_alone)


def _kind(character: str, has: Callable[[str], bool]) -> str:
    if len(character) > 1:
        return "words"
    if character.lower() != character and has(character.lower()):
        return "capitals"
    if character.upper() != character and has(character.upper()):
        return "small letters"
    category = unicodedata.category(character)
    if category[0] == "N":
        return "digits"
    if category[0] in "PS":
        return "brackets" if character in "[](){}<>" else "signs"
    if category[0] == "C":
        return "invisible"
    return unicodedata.name(character, "unnamed").split()[0].split("-")[0]


def _named(kind: str) -> str:
    named = {
        "words": "words",
        "capitals": "capital letters that it has in lower case",
        "small letters": "lower-case letters that it has as capitals",
        "digits": "digits",
        "brackets": "brackets",
        "signs": "punctuation and signs",
        "invisible": "invisible characters",
    }
    return named.get(kind) or ("CJK characters" if kind == "CJK" else f"{kind.title()} letters")


def _advice(kind: str, characters: Counter[str], texts: Sequence[str]) -> str | None:
    if kind == "brackets":
        found = (mark[0] for text in texts for mark in _MARK.finditer(text) if set(mark[0]) & characters.keys())
        mark = next(found, None)
        if mark is not None:
            return f"remove marks such as {mark!r}, which are not spoken"
    advice = {
        "words": "write what is said in its place",
        "capitals": "write the texts in lower case",
        "small letters": "write the texts in capital letters",
        "digits": "write numbers as words",
        "brackets": "remove them from the texts",
        "signs": "remove them from the texts",
        "invisible": "remove them from the texts",
    }
    return advice.get(kind)


def _shown(characters: Counter[str]) -> str:
    names = [c if c.isprintable() else f"U+{ord(c[0]):04X}" for c, _ in characters.most_common(NUM_SHOWN)]
    return " ".join(names) + (" ..." if len(characters) > NUM_SHOWN else "")
