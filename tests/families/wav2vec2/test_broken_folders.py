"""Folders with damaged files and odd values: each is used, or refused in one line that names the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.families.wav2vec2.conftest import load
from tests.test_broken_files import wrong_with_contents, wrong_with_values

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
    assert not wrong_with_contents(folder / name, use)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_value_is_told_with_its_file(
    kind: str, name: str, folders: dict[str, tuple[Path, Callable[[], object]]]
) -> None:
    folder, use = folders[kind]
    assert not wrong_with_values(folder / name, use, each=2)
