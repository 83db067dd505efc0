"""Normalisation of transcripts: differences that must not count as errors are removed before scoring.

normalizers.py      the normaliser of each language, and Whisper's English one
basic.py            Whisper's basic one, for all other languages
russian.py          the basic one with Russian numbers, stress and ё
russian_numbers.py  Russian number words as digits
spellings.py        one spelling for each digit, width, letter form, dash and apostrophe
units.py            word units: text between spaces, or one character of a script without spaces
marks.py            marks that normalisers drop: special symbols and text in brackets
"""

from eartune.text.normalizers import normalize, normalizer_for

__all__ = ["normalize", "normalizer_for"]
