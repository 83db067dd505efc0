"""Comparison of two transcripts regardless of case, punctuation and spaces."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """Return a text without case, punctuation, spaces and the dots of ё; equal texts have equal results."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING)
    return folded or text


class _Folding(dict[int, str]):
    def __missing__(self, code: int) -> str:
        kept = "" if unicodedata.category(chr(code))[0] in "PSZC" else chr(code)
        self[code] = kept
        return kept


_FOLDING = _Folding({ord("ё"): "е"})
