"""Members of a .nemo file that change with tokens for more characters: tokenizer files and configuration.

Of the configuration only numbers and lists of tokens are written anew; every other character stays.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, NemoArchive
from eartune.families._nemo.more_tokens import add_to_sentencepiece
from eartune.families._nemo.settings import BOUNDS, LEFT_OPEN, read_settings
from eartune.families._nemo.tokenizer import TokenizerFiles, parse_model
from eartune.parsing import compose_yaml, quote_yaml
from eartune.weights import RELOAD_ADVICE

# where NeMo's BPE models note how many tokens they have, and which; an empty list is filled when NeMo restores
NUMBERS = ("decoder.vocab_size", "decoder.num_classes", "joint.num_classes", "aux_ctc.decoder.num_classes")
LISTS = ("labels", "decoder.vocabulary", "joint.vocabulary", "aux_ctc.decoder.vocabulary")


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
