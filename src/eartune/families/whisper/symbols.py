"""Symbols in transcripts that are not speech: the model's special tokens, and noise marks."""

from __future__ import annotations

import re
from collections.abc import Collection

SPECIAL = re.compile(r"<\|[^<>|]{0,40}\|>")
TIME = re.compile(r"<\|\d+(\.\d+)?\|>")
# two names of the same token
NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
# Whisper's decoding suppresses these brackets and notes (suppress_tokens)
MARK = re.compile(r"\[[^\[\]]{1,40}\]|<[^<>|]{1,40}>|\{[^{}]{1,40}\}|\([^()]{1,40}\)|[♩♪♫♬]")


def special_finding(text: str, vocabulary: Collection[str]) -> str | None:
    """Return which special token a transcript contains, and what to do about it; None where it contains none.

    A symbol that is not in the model's vocabulary belongs to another model, and is not speech either.
    """
    found = SPECIAL.search(text)
    if found is None:
        return None
    symbol = found[0]
    if TIME.fullmatch(symbol):
        return (
            f"text holds the time {symbol} where no sentence begins or ends; write each sentence as "
            "<|0.00|> its text<|1.20|>, in seconds from the clip's begin, or remove the times"
        )
    if symbol in NO_SPEECH:
        return f"text holds {symbol} beside words; a row in which nobody speaks has an empty text"
    if symbol in vocabulary:
        return f"text holds the special token {symbol}; remove it (language and task are columns or options)"
    return f"text holds {symbol}, which is written as a special token and is not one of this model; remove it"


def mark_in(text: str) -> str | None:
    """Return the first mark of a noise or an unknown word: [BLANK_AUDIO], <unk>, {cough}, (laughs), a note."""
    found = MARK.search(text)
    return found[0] if found else None
