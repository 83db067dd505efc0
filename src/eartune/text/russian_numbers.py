"""Russian number words: spelled-out cardinals become digits, whatever their case and gender.

The word forms come from num2words. Only forms that it lacks are listed here: four variants
(нуля, восьмью, тысячью) and four abbreviations (тыс, млн, млрд, трлн).
All words are expected in lower case, with е for ё.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

from num2words import num2words

CASES = "ngdaip"
GENDERS = "mfn"
NUMBERS_IN_ONE_WORD = (*range(20), *range(20, 100, 10), *range(100, 1000, 100))
ABBREVIATIONS = {"тыс": 10**3, "млн": 10**6, "млрд": 10**9, "трлн": 10**12}
VARIANTS = (("нол", "нул"), ("восемью", "восьмью"), ("тысячей", "тысячью"))

DIGITS_BELOW_1000 = re.compile(r"[1-9][0-9]{0,2}")


class Scale(NamedTuple):
    """A word that multiplies the number before it."""

    value: int
    means_one: bool
    """Without a number before it, тысяча is 1000; the plural (тысяч людей) stays a word."""


def write_digits(words: Sequence[str]) -> list[str]:
    """Return `words` with each spelled-out cardinal replaced by one word of digits.

    Parts are joined only if they form one number: двадцать три сорок пять gives 23 45.
    A number in digits below 1000 counts as a part before or after a scale: 5 тысяч gives 5000.
    """
    output = []
    position = 0
    while position < len(words):
        value, end = _read_number(words, position)
        if end == position:
            output.append(words[position])
            end += 1
        else:
            output.append(str(value))
        position = end
    return output


def multiply_decimals(text: str) -> str:
    """Return `text` with 2,5 тысячи or 2.5 тыс written as 2500; other decimals stay as they are."""
    return _decimal_and_scale().sub(_product, text)


def _read_number(words: Sequence[str], start: int) -> tuple[int, int]:
    """Return the number that begins at `start` and the position after it; `start` if none begins there."""
    if _parts().get(words[start]) == 0:
        return 0, start + 1
    total, position, bound = 0, start, 10**15
    while True:
        group, end = _read_group(words, position)
        scale = _scales().get(words[end]) if end < len(words) else None
        if scale is None:
            return total + group, end
        if scale.value >= bound or (end == position and not scale.means_one):
            # two thousand, then five million: this group begins the next number
            return total, position
        total += (group or 1) * scale.value
        position, bound = end + 1, scale.value


def _read_group(words: Sequence[str], start: int) -> tuple[int, int]:
    """Return the number from 1 to 999 that begins at `start` and the position after it; 0 if none begins there."""
    if start < len(words) and DIGITS_BELOW_1000.fullmatch(words[start]):
        return int(words[start]), start + 1
    value, position, bound = 0, start, 1000
    while position < len(words) and 0 < (part := _parts().get(words[position], 0)) < bound:
        value += part
        bound = 100 if part >= 100 else 10 if part >= 20 else 1
        position += 1
    return value, position


def _product(match: re.Match[str]) -> str:
    whole, decimals, scale = match.groups()
    value, remainder = divmod(int(whole + decimals) * _scales()[scale].value, 10 ** len(decimals))
    return match[0] if remainder else str(value)


@cache
def _decimal_and_scale() -> re.Pattern[str]:
    return re.compile(rf"(?<![\d.,])([0-9]{{1,3}})[.,]([0-9]{{1,12}})\s+({'|'.join(_scales())})\b")


@cache
def _parts() -> dict[str, int]:
    return {form: number for number in NUMBERS_IN_ONE_WORD for form in _forms(number)}


@cache
def _scales() -> dict[str, Scale]:
    scales = {word: Scale(value, means_one=False) for word, value in ABBREVIATIONS.items()}
    for value in ABBREVIATIONS.values():
        for count in (5, 2, 1):
            scales |= {form: Scale(value, means_one=count == 1) for form in _forms(count * value)}
    return scales


def _forms(number: int) -> set[str]:
    """Return the last word of `number` in each case, gender and animacy: тысяч for 5000."""
    forms = set()
    for case, gender, animate in product(CASES, GENDERS, (True, False)):
        spelled = num2words(number, lang="ru", case=case, gender=gender, animate=animate)
        form = spelled.split()[-1].replace("ё", "е")
        forms |= {form, *(form.replace(known, variant) for known, variant in VARIANTS)}
    return forms
