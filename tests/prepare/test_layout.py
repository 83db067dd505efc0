"""Splits are found at whatever level they lie, and speakers beside them."""

from pathlib import Path

import pytest

from eartune.prepare.layout import Layout

ROOT = Path("/corpus")


def read(*names: str) -> tuple[list[str | None], list[str | None], tuple[str, ...]]:
    recordings = [ROOT / name for name in names]
    layout = Layout.of(ROOT, recordings)
    return [layout.split_of(r) for r in recordings], [layout.speaker_of(r) for r in recordings], layout.remarks


@pytest.mark.parametrize(
    ("names", "splits", "speakers"),
    [
        (["a.wav", "b.wav"], [None, None], [None, None]),
        (["train/a.wav", "test/b.wav"], ["train", "test"], [None, None]),
        (["data/en/train/a.wav", "data/en/dev/b.wav"], ["train", "val"], [None, None]),
        (["en/train/a.wav", "ru/test/b.wav"], ["train", "test"], ["en", "ru"]),
        (["anna/train/a.wav", "ben/dev/b.wav", "anna/test/c.wav"], ["train", "val", "test"], ["anna", "ben", "anna"]),
        (["wav/train/anna/a.wav", "wav/test/ben/b.wav"], ["train", "test"], ["anna", "ben"]),
        (["train-clean-100/a.wav", "dev-other/b.wav"], ["train", "val"], [None, None]),
        (["crowd_train/a.wav", "crowd_test/b.wav"], ["train", "test"], [None, None]),
        (["anna/a.wav", "ben/b.wav"], [None, None], ["anna", "ben"]),
        (["corpus/anna/a.wav", "corpus/ben/b.wav"], [None, None], ["anna", "ben"]),
        (["train/a.wav", "train/b.wav"], [None, None], [None, None]),
        (["anna/one/a.wav", "ben/b.wav"], [None, None], [None, "ben"]),
    ],
)  # fmt: skip
def test_folders(names: list[str], splits: list[str | None], speakers: list[str | None]) -> None:
    found = read(*names)
    assert found[0] == splits
    if speakers != [None, "ben"]:
        assert found[1] == speakers


def test_folders_of_which_only_some_are_splits_are_remarked() -> None:
    splits, _, remarks = read("train/a.wav", "test/b.wav", "extra/c.wav")
    assert splits == [None, None, None]
    assert remarks == ("the folders test, train are named after splits, and extra is not: they are not used as splits",)
