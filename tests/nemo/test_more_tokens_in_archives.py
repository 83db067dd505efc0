"""The files of an archive that change with more tokens: what is rewritten, and that every other character stays."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eartune.errors import InputError
from eartune.families._nemo import more_tokens
from eartune.families._nemo.archive import CONFIG, NemoArchive, read_archive
from eartune.families._nemo.tokenizer import piece_ids, tokenizer_files
from tests.tiny_nemo import TOKENIZER, configuration, members, num_tokens, train_sentencepiece, write_members

NEW = "жщ"
NUMBERS = ("  vocab_size: ", "  num_classes: ", "    num_classes: ")
PIECES = list(piece_ids(train_sentencepiece(), where=""))


def archive_with(folder: Path, config: str, **files: bytes) -> NemoArchive:
    contents = members({}, {}, train_sentencepiece()) | {f"./{name}": content for name, content in files.items()}
    write_members(folder / "model.nemo", contents | {f"./{CONFIG}": config.encode()})
    return read_archive(folder / "model.nemo")


def config_with(**more: Any) -> dict[str, Any]:
    return configuration("hybrid", len(PIECES)) | more


def extended_members(archive: NemoArchive, characters: str) -> dict[str, bytes]:
    return more_tokens.extended_members(archive, tokenizer_files(archive), characters)


def changed_lines(before: bytes, after: bytes) -> list[str]:
    lines = difflib.unified_diff(before.decode().splitlines(), after.decode().splitlines(), n=0, lineterm="")
    # behind the names of the two
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def test_numbers_and_lists_grow_and_every_other_character_stays(tmp_path: Path) -> None:
    old, new = len(PIECES), len(PIECES) + len(NEW)
    config = config_with(labels=PIECES)
    config["joint"]["vocabulary"] = list(PIECES)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    # what a second YAML writer would have put in other words
    text += "# a comment\nodd:   {dither: 1e-05, 'quoted': \"yes\"}\n"
    archive = archive_with(tmp_path, text)
    found = extended_members(archive, NEW)
    assert found.keys() == {CONFIG, TOKENIZER}
    numbers = [f"{sign}{indent}{number}" for sign, number in (("-", old), ("+", new)) for indent in NUMBERS]
    items = [f'+{indent}- "{character}"' for indent in ("  ", "") for character in NEW]
    assert sorted(changed_lines(text.encode(), found[CONFIG])) == sorted(numbers + items)
    read = yaml.safe_load(found[CONFIG])
    assert read["labels"] == read["joint"]["vocabulary"] == [*PIECES, *NEW]
    assert list(piece_ids(found[TOKENIZER], where="")) == [*PIECES, *NEW]
    assert num_tokens(found[TOKENIZER]) == new


def test_lists_in_one_line_grow_too_and_placeholders_are_left_to_nemo(tmp_path: Path) -> None:
    config = config_with(labels=PIECES)
    config["aux_ctc"]["decoder"] |= {"num_classes": -1, "vocabulary": []}
    config["joint"]["num_classes"] = None
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**6)
    read = yaml.safe_load(extended_members(archive_with(tmp_path, text), "ж~9")[CONFIG])
    assert read["labels"] == [*PIECES, "ж", "~", "9"]
    assert read["aux_ctc"]["decoder"]["num_classes"] == -1
    assert read["aux_ctc"]["decoder"]["vocabulary"] == []
    assert read["joint"]["num_classes"] is None


@settings(max_examples=60)
@given(new=st.sets(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=8), flow=st.booleans())
def test_any_character_is_read_again(tmp_path_factory: pytest.TempPathFactory, new: set[str], flow: bool) -> None:
    characters = "".join(sorted(new - set(PIECES))) or "ж"
    text = yaml.safe_dump(config_with(labels=PIECES), allow_unicode=True, default_flow_style=flow)
    archive = archive_with(tmp_path_factory.mktemp("any"), text)
    members = extended_members(archive, characters)
    assert yaml.safe_load(members[CONFIG])["labels"] == [*PIECES, *characters]
    assert list(piece_ids(members[TOKENIZER], where="")) == [*PIECES, *characters]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"the\n##er\n", "the\n##er\n##ж\n##щ\n"),
        ("<pad>\n▁the\ner".encode(), "<pad>\n▁the\ner\nж\nщ\n"),
    ],
    ids=["bert", "plain"],
)
def test_vocabularies_beside_the_model_get_its_lines(tmp_path: Path, content: bytes, expected: str) -> None:
    config = config_with()
    config["tokenizer"] |= {"vocab_path": "nemo:x_vocab.txt", "spe_tokenizer_vocab": "nemo:x_tokenizer.vocab"}
    files = {"x_vocab.txt": content, "x_tokenizer.vocab": b"<unk>\t0\nthe\t-3.5\n"}
    found = extended_members(archive_with(tmp_path, yaml.safe_dump(config), **files), NEW)
    assert found["x_vocab.txt"].decode() == expected
    lines = found["x_tokenizer.vocab"].decode().splitlines()
    assert lines[:2] == ["<unk>\t0", "the\t-3.5"]
    scores = [float(line.split("\t")[1]) for line in lines[2:]]
    assert [line.split("\t")[0] for line in lines[2:]] == list(NEW)
    assert max(scores) < -10


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("labels", ["a", "b"], "labels has 2 entries, and the tokenizer has 160 tokens"),
        ("vocab_size", "${model.vocab}", "decoder.vocab_size is '${model.vocab}'"),
        ("vocab_size", 7, "decoder.vocab_size is 7, and the tokenizer has 160 tokens"),
    ],
)
def test_a_configuration_that_does_not_fit_its_tokenizer_is_refused(
    tmp_path: Path, path: str, value: Any, message: str
) -> None:
    config = config_with()
    (config if path == "labels" else config["decoder"])[path] = value
    with pytest.raises(InputError, match=re.escape(f"model.nemo: {CONFIG}: {message}")):
        extended_members(archive_with(tmp_path, yaml.safe_dump(config)), NEW)


def test_an_archive_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    archive = archive_with(tmp_path, yaml.safe_dump(config_with(tokenizer={"type": "bpe", "model_path": "/x.model"})))
    with pytest.raises(InputError, match=r"tokenizer\.model_path names no file of the archive"):
        extended_members(archive, NEW)
