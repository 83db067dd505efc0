"""Symbols in texts that are not spoken: prompt tokens (`<|en|>`), times, and marks of unknown text."""

from __future__ import annotations

import re
from collections.abc import Collection

from eartune.languages import LANGUAGE_NAMES, language_code

# `<|...|>`, and names of special tokens of tokenizers and decoders
SYMBOL = re.compile(r"<\|[^<>|\s][^<>|]*\|>|</?s>|<(?:unk|pad|bos|eos|blank|blk)>|\[(?:unk|pad)\]|⁇", re.IGNORECASE)
# prompt tokens of Canary and Whisper, besides languages and times
_OF_PROMPTS = re.compile(
    r"<\|(?:nospeech|nocaptions|endoftext|startof\w+|transcribe|translate|unklang|audioseparator|emo:\w+"
    r"|(?:no)?(?:pnc|itn|timestamps?|diarize|predict_lang)|\d+(?:\.\d+)?)\|>",
    re.IGNORECASE,
)
TIME = re.compile(r"<\|(\d+)\|>")
_SECONDS = re.compile(r"<\|\d+\.\d*\|>")
_LOST = re.compile(r"<unk>|\[unk\]|⁇", re.IGNORECASE)


def symbol_problem(text: str, *, known: Collection[str] = (), times: bool = False) -> str | None:
    """Return a finding on the first symbol of a text that is not a word, or None.

    `known` are the tokens of a model: its own symbols are text, except those of prompts. `times` allows times in
    frames (`<|12|>`).
    """
    for symbol in SYMBOL.findall(text):
        is_own = symbol in known and symbol.startswith("<|") and not _is_of_prompts(symbol)
        if not (is_own or (times and TIME.fullmatch(symbol))):
            return f"text holds {symbol!r}, {_meaning(symbol)}"
    return None


def without_symbols(text: str) -> str:
    """Return a text without symbols."""
    return " ".join(SYMBOL.sub(" ", text).split())


def _is_of_prompts(symbol: str) -> bool:
    return bool(_OF_PROMPTS.fullmatch(symbol)) or _is_language(symbol)


def _is_language(symbol: str) -> bool:
    name = symbol.removeprefix("<|").removesuffix("|>").split("-")[0].lower()
    return name in LANGUAGE_NAMES or (len(name) == 2 and language_code(name) is not None)


def _meaning(symbol: str) -> str:
    if _LOST.fullmatch(symbol):
        return "which a tokenizer wrote for unknown characters: write what is said"
    if _SECONDS.fullmatch(symbol):
        return "a time as Whisper writes it: begin and end each part of the text with one, or remove them"
    if TIME.fullmatch(symbol):
        return "a time, and the row does not ask for times: remove it (Canary is trained on times with timestamp: yes)"
    if symbol.lower() in ("<|nospeech|>", "<|nocaptions|>"):
        return "which is for clips without speech: leave the text empty where nobody speaks, or remove it"
    if _is_language(symbol):
        return "the symbol of a language: name it in a column (lang, source_lang, target_lang), not in the text"
    return "a special token that is not spoken: remove it from the text"
