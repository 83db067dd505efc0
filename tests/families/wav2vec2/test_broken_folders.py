"""Folders with damaged files and odd values: each is used, or refused in one line that names the file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.families.wav2vec2.conftest import load
from tests.test_broken_files import CONTENTS, changes_of, told_wrong

KINDS = ("group", "mms", "bert", "hubert")
FILES = ("config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.json")


@pytest.fixture(scope="module")
def folders(
    tiny_wav2vec2: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Model folders by kind, and what loads them."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind) / "model"
        load(tiny_wav2vec2[kind], language="en").save(folder)
        found[kind] = (folder, lambda folder=folder: load(folder))
    return found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_is_named(kind: str, name: str, folders: dict[str, tuple[Path, Callable[[], object]]]) -> None:
    folder, use = folders[kind]
    path = folder / name
    whole = path.read_bytes()
    wrong = {}
    try:
        for what, content in CONTENTS.items():
            path.write_bytes(whole[: len(whole) // 2] if content is None else content)
            wrong[what] = told_wrong(name, use)
    finally:
        path.write_bytes(whole)
    assert not {what: told for what, told in wrong.items() if told}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_value_is_told_with_its_file(
    kind: str, name: str, folders: dict[str, tuple[Path, Callable[[], object]]]
) -> None:
    folder, use = folders[kind]
    path = folder / name
    whole = path.read_text(encoding="utf-8")
    wrong = {}
    try:
        for what, document in changes_of(json.loads(whole), each=2):
            path.write_text(json.dumps(document), encoding="utf-8")
            wrong[what] = told_wrong(name, use)
    finally:
        path.write_text(whole, encoding="utf-8")
    assert not {what: told for what, told in wrong.items() if told}
