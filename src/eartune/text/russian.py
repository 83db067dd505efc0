"""Russian text in one spelling: numbers as digits, е for ё, no stress marks."""

from __future__ import annotations

import re

from eartune.text.basic import basic_normalizer
from eartune.text.russian_numbers import multiply_decimals, write_digits
from eartune.text.spellings import unify_spellings

# ё, and letters that Unicode composes with a stress mark
LETTERS = str.maketrans("ёѐѝ", "ееи")
STRESS_MARKS = re.compile("[\u0300\u0301]")
# A plain space may also separate two numbers; only a last group of 000 is unambiguous.
GROUPED_DIGITS = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}(?:(?:[\u00a0\u2009\u202f]\d{3}(?!\d))+|(?: \d{3}(?!\d))* 000(?!\d))"
)
CARDINAL_ENDING = re.compile(r"(?:(?<=\d)[-‐‑]?(?:ти|тью|мя|ух|ех)|(?<=[78])[-‐‑]?ми|(?<=[234])(?<!1\d)[-‐‑]?х)\b")
ORDINAL_ENDING = re.compile(r"(?<=\d)[-‐‑]?[аеиоуыья]?(й|я|е|го|му|м|х|ю|ми)\b")
PERCENT_SIGN = re.compile(r"(?<=\d)\s*%")
PERCENT_WORD = re.compile(r"(?<=\d) процент(?:а|у|ом|е|ы|ам|ами|ах)?\b")


def normalize_russian(text: str) -> str:
    """Return Russian text in one spelling.

    - Cardinals become digits in any case and gender, so пять, пяти and 5 agree. один and одна always become 1,
      and homographs become digits too: свою семью gives свою 7. These stay words: раз, одни, двое, полтора,
      and a plural scale with no number before it (тысяч людей).
    - Ordinals in words stay words: сорок пятый gives 40 пятый. In digits they are one word with its ending:
      5-го and 5-ого give 5го. The ending of a cardinal is dropped: 5-ти gives 5, 2-х gives 2, but 90-х gives 90х.
    - 1 000 gives 1000 where the spaces are narrow or do not break, or where the last group is 000.
    - 2,5 тысячи gives 2500; any other decimal comma is punctuation.
    - 5 % and 5 процента give 5 процентов; № gives номер.
    - Punctuation and hyphens separate words, never numbers: какой-то gives какой то; сто, пять gives 105.
    """
    text = unify_spellings(text, language="ru").lower()
    text = STRESS_MARKS.sub("", text).translate(LETTERS).replace("№", " номер ")
    text = GROUPED_DIGITS.sub(lambda match: "".join(match[0].split()), text)
    text = multiply_decimals(text)
    text = ORDINAL_ENDING.sub(r"\1", CARDINAL_ENDING.sub("", text))
    text = PERCENT_SIGN.sub(" процентов ", text)
    words = basic_normalizer("ru")(text).split()
    return PERCENT_WORD.sub(" процентов", " ".join(write_digits(words)))
