"""Additional tokens for characters, appended to a tokenizer and to .nemo files: known text is tokenized as before.

Each new token is one character with the lowest priority: SentencePiece's unigram models score an unknown character 10
below their worst piece, and new tokens get this score; in BPE no merge produces a single character. Of an archive's
configuration only numbers and lists of tokens are written anew; every other character stays.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, NemoArchive
from eartune.families._nemo.coverage import unknown_characters
from eartune.families._nemo.settings import BOUNDS, LEFT_OPEN, read_settings
from eartune.families._nemo.tokenizer import (
    NORMAL,
    SentencePieceTokenizer,
    TokenizerFiles,
    build_tokenizer,
    parse_model,
)
from eartune.parsing import JsonObject, compose_yaml, parse_json, quote_yaml
from eartune.weights import RELOAD_ADVICE

# kUnkPenalty of sentencepiece's src/unigram_model.cc
UNKNOWN_PENALTY = 10.0
# where NeMo's BPE models note how many tokens they have, and which; an empty list is filled when NeMo restores
NUMBERS = ("decoder.vocab_size", "decoder.num_classes", "joint.num_classes", "aux_ctc.decoder.num_classes")
LISTS = ("labels", "decoder.vocabulary", "joint.vocabulary", "aux_ctc.decoder.vocabulary")
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


@dataclass(frozen=True)
class _Edit:
    """Characters of a text, from `start` to before `end`, and what stands there instead."""

    start: int
    end: int
    text: str


def extended_members(archive: NemoArchive, files: TokenizerFiles, characters: str) -> dict[str, bytes]:
    """Return the files of an archive that change when `characters` become its last tokens, by their names."""
    name = files.model
    if name is None:
        raise InputError(f"{archive.path}: {CONFIG}: tokenizer.model_path names no file of the archive; save it again")
    where = f"{archive.path}: {name}"
    extended = add_to_sentencepiece(archive.file(name), characters, where=where)
    pieces = parse_model(extended, where).pieces
    old = len(pieces) - len(characters)
    members = {CONFIG: _extended_config(archive, old, characters), name: extended}
    if files.vocabulary is not None:
        content = archive.file(files.vocabulary)
        # in the manner of BERT, a piece that begins no word
        mark = "##" if any(line.startswith(b"##") for line in content.splitlines()) else ""
        members[files.vocabulary] = _with_lines(content, [mark + piece.piece for piece in pieces[old:]])
    if files.scores is not None:
        lines = [f"{piece.piece}\t{piece.score:g}" for piece in pieces[old:]]
        members[files.scores] = _with_lines(archive.file(files.scores), lines)
    return members


def _with_lines(content: bytes, lines: list[str]) -> bytes:
    separator = b"" if content.endswith(b"\n") or not content else b"\n"
    return content + separator + "".join(f"{line}\n" for line in lines).encode()


def _extended_config(archive: NemoArchive, old: int, characters: str) -> bytes:
    where = f"{archive.path}: {CONFIG}"
    text = archive.file(CONFIG).decode()
    expected = copy.deepcopy(dict(archive.config))
    edits = _edits(
        compose_yaml(text, where=where, advice=RELOAD_ADVICE, bounds=BOUNDS), expected, old, characters, where
    )
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    extended = text.encode()
    if read_settings(extended, where=where) != expected:
        raise InputError(f"{where}: names one list of tokens in two places (&, *); save the model again with NeMo")
    return extended


def _edits(root: Any, values: dict[str, Any], old: int, characters: str, where: str) -> list[_Edit]:
    """Extend numbers and lists of tokens in `values`, and return what that means for the text they were read from."""
    edits: list[_Edit] = []
    for path in (*NUMBERS, *LISTS):
        *sections, key = path.split(".")
        node, section = root, values
        for name in sections:
            node, section = _child(node, name), _section(section, name)
        found, place = section.get(key), _child(node, key)
        if place is None or not found or (path in NUMBERS and found in (-1, LEFT_OPEN)):
            continue
        if path in NUMBERS and found == old:
            section[key] = old + len(characters)
            edits.append(_Edit(place.start_mark.index, place.end_mark.index, str(section[key])))
        elif path in LISTS and isinstance(found, list) and len(found) == old:
            section[key] = [*found, *characters]
            edits.append(_added_items(place, characters))
        else:
            told = f"has {len(found)} entries" if isinstance(found, list) else f"is {found!r:.80}"
            raise InputError(f"{where}: {path} {told}, and the tokenizer has {old} tokens; save the model again")
    return edits


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _child(node: Any, name: str) -> Any:
    """Return the node under a key of a mapping; None where there is not one."""
    pairs = node.value if node is not None and node.id == "mapping" else ()
    return next((value for key, value in pairs if key.value == name), None)


def _added_items(node: Any, characters: str) -> _Edit:
    """Return the edit that puts characters behind the last item of a list that is not empty."""
    end = node.value[-1].end_mark.index
    # a bare y, ~ or 5 is not a character to YAML
    quoted = [quote_yaml(character) for character in characters]
    if node.flow_style:
        return _Edit(end, end, "".join(f", {item}" for item in quoted))
    indent = " " * node.start_mark.column
    return _Edit(end, end, "".join(f"\n{indent}- {item}" for item in quoted))
