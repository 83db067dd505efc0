"""Transcripts as they are compared: what must not count as an error is made equal before scoring.

normalizers.py      the normaliser of each language
english.py          Whisper's English normaliser
basic.py            Whisper's basic one, for all other languages
russian.py          the basic one with Russian numbers, stress and ё
russian_numbers.py  Russian number words as digits
spellings.py        one spelling for each digit, width, letter form and dash
apostrophes.py      all apostrophes as one, and where they are letters
units.py            what is one word: between spaces, or one character of a script without spaces
marks.py            what normalisers drop: special symbols and text in brackets
"""

from eartune.text.normalizers import normalize, normalizer_for

__all__ = ["normalize", "normalizer_for"]
