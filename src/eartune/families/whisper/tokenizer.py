"""Whisper's tokenizer from OpenAI's vocabulary files.

The files (`gpt2.tiktoken` for English-only models, `multilingual.tiktoken` for all others) are those of openai-whisper;
lines are `base64(token bytes) rank`. Special tokens follow in the order that openai/whisper's tokenizer.py gives them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from transformers import WhisperTokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.models.whisper.tokenization_whisper import LANGUAGES

NUM_TIMESTAMPS = 1501
TIMESTAMP_STEP_S = 0.02

VOCABULARIES = Path(__file__).with_name("vocabulary")


class _Vocabulary(TikTokenConverter):  # type: ignore[misc]
    """transformers' converter, reading the file directly instead of through the package tiktoken."""

    @staticmethod
    def load_tiktoken_bpe(path: str) -> dict[bytes, int]:
        lines = Path(path).read_bytes().splitlines()
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def special_tokens(*, num_languages: int) -> list[str]:
    """List the tokens after the vocabulary, in the order of their ids (openai/whisper tokenizer.py)."""
    return [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in list(LANGUAGES)[:num_languages]),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        # OpenAI's name; older tokenizers on the Hub have <|nocaptions|>
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{index * TIMESTAMP_STEP_S:.2f}|>" for index in range(NUM_TIMESTAMPS)),
    ]


def build_tokenizer(*, multilingual: bool, num_languages: int) -> WhisperTokenizer:
    """Build the tokenizer of an OpenAI checkpoint."""
    ranks, merges = _ranks_and_merges(VOCABULARIES / ("multilingual.tiktoken" if multilingual else "gpt2.tiktoken"))
    vocabulary = dict(ranks)
    specials = special_tokens(num_languages=num_languages)
    # English-only vocabularies already include <|endoftext|>
    for token in specials:
        vocabulary.setdefault(token, len(vocabulary))
    tokenizer = WhisperTokenizer(
        vocab=vocabulary, merges=list(merges), pad_token="<|endoftext|>", model_max_length=1024
    )
    timestamps = [token for token in specials if token[2:3].isdigit()]
    tokenizer.add_special_tokens({"additional_special_tokens": [t for t in specials if t not in timestamps]})
    tokenizer.add_tokens(timestamps)
    return tokenizer


@cache
def _ranks_and_merges(path: Path) -> tuple[Mapping[str, int], Sequence[tuple[str, str]]]:
    """Read a vocabulary, once per process: finding its merges takes seconds."""
    ranks, merges = _Vocabulary().extract_vocab_merges_from_model(str(path))
    return MappingProxyType(ranks), tuple(merges)
