"""Additional tokens for characters, appended to a tokenizer: known text is tokenized as before.

Each new token is one character with the lowest priority: SentencePiece's unigram models score an unknown character 10
below their worst piece, and new tokens get this score; in BPE no merge produces a single character.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from eartune.errors import InputError
from eartune.families._nemo.coverage import unknown_characters
from eartune.families._nemo.tokenizer import SentencePieceTokenizer, build_tokenizer, parse_model
from eartune.families._nemo.tokenizer_pipeline import NORMAL
from eartune.parsing import JsonObject, parse_json

# kUnkPenalty of sentencepiece's src/unigram_model.cc
UNKNOWN_PENALTY = 10.0
_WHERE = "extend_vocabulary: the model's tokenizer"


def lacking_characters(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Counter[str]:
    """Count the characters without a token, the most frequent first, after the tokenizer's normalisation.

    White space is not counted. Ties are ordered by code point.
    """
    lacking = unknown_characters(tokenizer, texts)
    return Counter({c: lacking[c] for c in sorted(lacking, key=lambda c: (-lacking[c], c)) if len(c) == 1})


def add_to_tokenizer(tokenizer: PreTrainedTokenizerBase, characters: str, *, first: int) -> PreTrainedTokenizerBase:
    """Return a tokenizer in which the tokens from `first` on are `characters`.

    Tokens there before, such as a blank as the network's last token, move behind them. Raises InputError where a
    character already has a token, or the tokenizer has fewer than `first` tokens.
    """
    if isinstance(tokenizer, SentencePieceTokenizer) and first == len(tokenizer):
        extended_model = add_to_sentencepiece(tokenizer.model, characters, where=_WHERE)
        return build_tokenizer(extended_model, where=_WHERE)
    state = parse_json(tokenizer.backend_tokenizer.to_str(), JsonObject, where=_WHERE)
    model, more = state["model"], len(characters)
    if model["type"] not in ("BPE", "Unigram"):
        raise InputError(f"extend_vocabulary: a tokenizer of type {model['type']} cannot be extended: leave it out")
    known = tokenizer.get_vocab()
    if sorted(number for number in known.values() if number < first) != list(range(first)):
        raise InputError(f"extend_vocabulary: the tokenizer does not have a token for each of the network's {first}")
    _require_new(characters, known)
    if model["type"] == "Unigram":
        score = _worst_score(score for _, score in model["vocab"])
        model["vocab"][first:first] = [[character, score] for character in characters]
    else:
        moved = {piece: number + more * (number >= first) for piece, number in model["vocab"].items()}
        model["vocab"] = moved | {character: first + place for place, character in enumerate(characters)}
    for token in state["added_tokens"]:
        token["id"] += more * (token["id"] >= first)
    extended = copy.deepcopy(tokenizer)
    extended._tokenizer = Tokenizer.from_str(json.dumps(state))
    return extended


def add_to_sentencepiece(model: bytes, characters: str, *, where: str) -> bytes:
    """Return the bytes of a tokenizer.model with `characters` as its last pieces.

    Raises InputError, beginning with `where`, for bytes that are not such a model.
    """
    proto = parse_model(model, where)
    _require_new(characters, {piece.piece for piece in proto.pieces})
    score = _worst_score(piece.score for piece in proto.pieces if piece.type == NORMAL)
    for character in characters:
        proto.pieces.add(piece=character, score=score, type=NORMAL)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    extended: bytes = proto.SerializeToString()
    return extended


def _worst_score(scores: Iterable[Any]) -> float:
    return float(np.float32(min(scores)) - np.float32(UNKNOWN_PENALTY))


def _require_new(characters: str, known: Iterable[str]) -> None:
    twice = sorted((Counter(characters) - Counter(set(characters))).keys() | (set(characters) & set(known)))
    if twice:
        raise InputError(f"extend_vocabulary: {twice[0]!r} already has a token")
