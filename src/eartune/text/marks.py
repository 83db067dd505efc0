"""Marks that normalisers drop: special symbols of tokenizers, and text in brackets."""

from __future__ import annotations

import re

# Whisper's own patterns, in its order
BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")
PARENTHESES = re.compile(r"\([^)]+?\)")
# <|0.00|>, <unk>, [PAD]; SentencePiece's sign for an unknown token and its space; bytes that are not UTF-8
SPECIAL_SYMBOL = re.compile(
    r"<\|[^<>]*\|>|<(?:unk|pad|s|/s|bos|eos|sos|blank|blk|eps|mask)>|\[(?:unk|pad|cls|sep|mask)\]|[⁇▁\ufffd]",
    flags=re.IGNORECASE,
)


def special_symbols(text: str) -> list[str]:
    """Return the special symbols of tokenizers in a text, in order."""
    return SPECIAL_SYMBOL.findall(text)


def bracketed(text: str) -> list[str]:
    """Return the text in brackets, brackets included, in order; without special symbols."""
    rest = SPECIAL_SYMBOL.sub(" ", text)
    return BRACKETS.findall(rest) + PARENTHESES.findall(BRACKETS.sub("", rest))
