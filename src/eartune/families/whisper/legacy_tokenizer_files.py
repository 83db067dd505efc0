"""Tokenizer files that readers of transformers 4 folders require, and transformers 5 does not write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import WhisperTokenizer
from typing_extensions import TypedDict

from eartune.files import write_json_atomic, write_text_atomic
from eartune.parsing import JsonObject, parse_json, read_json


class _BytePairs(TypedDict):
    # a pair is "a b", or ["a", "b"]
    merges: list[Any]


class _Pipeline(TypedDict):
    model: _BytePairs


def complete_for_older_tools(tokenizer: WhisperTokenizer, folder: Path) -> None:
    """Write vocab.json, added_tokens.json and merges.txt, and rename the list of special tokens for transformers 4."""
    added = {token: number for token, number in tokenizer.get_added_vocab().items() if token != tokenizer.eos_token}
    # as in OpenAI's folders: <|endoftext|> is the last token of the vocabulary, all later ones are added tokens
    plain = {token: number for token, number in tokenizer.get_vocab().items() if token not in added}
    merges = parse_json(tokenizer.backend_tokenizer.to_str(), _Pipeline, where="tokenizer")["model"]["merges"]
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    for name, tokens in (("vocab.json", plain), ("added_tokens.json", added)):
        write_json_atomic(folder / name, dict(sorted(tokens.items(), key=lambda token: token[1])))
    write_text_atomic(folder / "merges.txt", "\n".join(["#version: 0.2", *lines, ""]))
    _name_special_tokens(folder / "tokenizer_config.json")


def _name_special_tokens(path: Path) -> None:
    """Use the key that both versions read: transformers 4 fails on a list under the new key."""
    settings = read_json(path, JsonObject)
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
        write_json_atomic(path, settings)
