"""Tokenizers of characters: read from a folder, or made of a vocabulary."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from transformers import Wav2Vec2CTCTokenizer
from typing_extensions import TypedDict

from eartune.errors import InputError, explained
from eartune.long_form import WORD
from eartune.model_folder import TokenId
from eartune.ops.ctc import TimedTokens
from eartune.parsing import JsonObject, read_json

Vocabulary: TypeAlias = Mapping[str, int]
COPY = "copy the model's own file"


@dataclass(frozen=True)
class SpecialTokens:
    """The tokens that are not characters; `pad` is the blank of CTC. `target_lang` is the language of the weights."""

    pad: str
    unk: str
    word_delimiter: str
    bos: str | None = None
    eos: str | None = None
    do_lower_case: bool = False
    target_lang: str | None = None

    def vocabulary(self) -> dict[str, int]:
        """Return a vocabulary without characters."""
        return {token: number for number, token in enumerate((self.pad, self.unk, self.word_delimiter))}


NEW_VOCABULARY = SpecialTokens(pad="<pad>", unk="<unk>", word_delimiter="|")


@dataclass(frozen=True)
class Vocabularies:
    """The vocabulary of a folder: one, or one for each language."""

    single: Vocabulary
    by_language: Mapping[str, Vocabulary]

    def of(self, language: str | None) -> Vocabulary:
        return self.single if language is None else self.by_language[language]


class _Token(TypedDict):
    content: str


class _TokenizerConfig(TypedDict, total=False):
    """tokenizer_config.json, and special_tokens_map.json of older folders."""

    pad_token: str | _Token | None
    unk_token: str | _Token | None
    bos_token: str | _Token | None
    eos_token: str | _Token | None
    word_delimiter_token: str | _Token | None
    do_lower_case: bool | None
    target_lang: str | None
    added_tokens_decoder: dict[str, _Token] | None


def read_vocabularies(folder: Path, *, num_rows: int | None = None) -> Vocabularies | None:
    """Read vocab.json; None without one. Raises InputError where it is damaged.

    `num_rows` is the number of tokens of the output head: where it has more, tokens that were added to the tokenizer
    belong to the vocabulary, as <s> and </s> do in models of the guides.
    """
    path = folder / "vocab.json"
    if not path.is_file():
        return None
    found: dict[str, TokenId | dict[str, TokenId]] = read_json(
        path, dict[str, TokenId | dict[str, TokenId]], advice=COPY
    )
    nested = {name: each for name, each in found.items() if isinstance(each, dict)}
    if nested and len(nested) != len(found):
        raise InputError(f"{path}: mixes tokens and vocabularies of languages; {COPY}")
    if nested:
        for name, each in nested.items():
            _require_numbered(each, f"{path}: {name}")
        return Vocabularies({}, nested)
    single = {token: each for token, each in found.items() if isinstance(each, int)}
    if num_rows is not None and num_rows > len(single):
        single |= {name: each for name, each in _added_tokens(folder).items() if len(single) <= each < num_rows}
    _require_numbered(single, str(path))
    return Vocabularies(single, {})


def _added_tokens(folder: Path) -> dict[str, int]:
    """Return the tokens that were added to a tokenizer, as older and newer versions of transformers write them."""
    found: dict[str, int] = {}
    if (folder / "added_tokens.json").is_file():
        found |= read_json(folder / "added_tokens.json", dict[str, TokenId], advice=COPY)
    if (folder / "tokenizer_config.json").is_file():
        config: _TokenizerConfig = read_json(folder / "tokenizer_config.json", _TokenizerConfig, advice=COPY)
        for number, token in (config.get("added_tokens_decoder") or {}).items():
            if number.isdecimal() and isinstance(token, dict):
                found[token["content"]] = int(number)
    return found


def _require_numbered(vocabulary: Vocabulary, where: str) -> None:
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise InputError(f"{where}: its {len(vocabulary)} tokens are not numbered from 0 on; {COPY}")


def special_tokens(folder: Path) -> SpecialTokens:
    """Read the special tokens of a folder, where it names them."""
    found: _TokenizerConfig = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found |= read_json(folder / name, _TokenizerConfig, advice=COPY)

    def named(value: str | _Token | None, default: str) -> str:
        return default if value is None else value if isinstance(value, str) else value["content"]

    def optional(value: str | _Token | None) -> str | None:
        return None if value is None else named(value, "")

    return SpecialTokens(
        pad=named(found.get("pad_token"), "<pad>"),
        unk=named(found.get("unk_token"), "<unk>"),
        word_delimiter=named(found.get("word_delimiter_token"), "|"),
        bos=optional(found.get("bos_token")),
        eos=optional(found.get("eos_token")),
        do_lower_case=bool(found.get("do_lower_case")),
        target_lang=found.get("target_lang"),
    )


def build_tokenizer(vocabulary: Vocabulary, special: SpecialTokens, *, where: Path) -> Wav2Vec2CTCTokenizer:
    """Return transformers' tokenizer of a vocabulary. Raises InputError where a special token has no number."""
    for name in (special.pad, special.unk, special.word_delimiter):
        if name not in vocabulary:
            raise InputError(f"{where}: vocab.json has no token {name!r}, which its tokenizer needs; {COPY}")
    # a token that the network has no row for would get a number of its own
    bos, eos = (token if token in vocabulary else None for token in (special.bos, special.eos))
    with tempfile.TemporaryDirectory() as folder, explained(where, "has a tokenizer that cannot be used", advice=COPY):
        path = Path(folder) / "vocab.json"
        path.write_text(json.dumps(dict(vocabulary), ensure_ascii=False), encoding="utf-8")
        return Wav2Vec2CTCTokenizer(
            path,
            bos_token=bos,
            eos_token=eos,
            pad_token=special.pad,
            unk_token=special.unk,
            word_delimiter_token=special.word_delimiter,
            do_lower_case=special.do_lower_case,
        )


def text_of(tokenizer: Wav2Vec2CTCTokenizer, tokens: Sequence[int]) -> str:
    """Return the text of decoded tokens, of which repeats are merged already."""
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True, group_tokens=False)
    return " ".join(text.split())


def pieces_of(
    names: Sequence[str], decoded: TimedTokens, *, special: SpecialTokens
) -> tuple[list[str], list[int], list[int]]:
    """Return characters, marked where a word begins, and the frames where each begins and ends.

    `names` are those of the tokens, by number.
    """
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    is_first = True
    for token, start, duration in zip(decoded.tokens, decoded.starts, decoded.durations, strict=True):
        name = names[token]
        if name == special.word_delimiter:
            is_first = True
        elif name not in (special.pad, special.unk, special.bos, special.eos):
            pieces.append((WORD[0] if is_first else "") + name)
            starts.append(start)
            ends.append(start + max(1, duration))
            is_first = False
    return pieces, starts, ends


def write_language(folder: Path, language: str) -> None:
    """Write the language of a saved tokenizer, and its vocabulary as one of several."""
    for name, change in (
        ("vocab.json", lambda found: {language: found}),
        ("tokenizer_config.json", lambda found: {**found, "target_lang": language}),
    ):
        path = folder / name
        changed = change(read_json(path, JsonObject, advice=COPY))
        path.write_text(json.dumps(changed, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
