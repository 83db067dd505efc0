"""Transcript tables: manifests of any format, and the split in a file's or folder's name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from eartune.manifest.columns import columns_of
from eartune.manifest.read import read_all_rows
from eartune.manifest.rows import Row

SplitName = Literal["train", "val", "test"]

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

_SPELLINGS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
}


def split_named(name: str) -> SplitName | None:
    """Return the split that a name starts or ends with: train.jsonl, val_portable.jsonl, dev-clean, crowd_test."""
    words = [word for word in re.split(r"[-_. ]+", re.sub(r"\.\w+$", "", name.strip().lower())) if word]
    found = [_SPELLINGS.get(words[index]) for index in (0, -1) if words]
    return next(filter(None, found), None)


def table_rows(table: Path, split: SplitName | None) -> list[tuple[Path, Row | str]]:
    """Return (folder, row or finding) of a table; rows without a split of their own get `split`."""
    rows: list[tuple[Path, Row | str]] = []
    for folder, row in read_all_rows([table]):
        if split is not None and isinstance(row, Row) and columns_of(row.values).filled(row.values, "split") is None:
            row = Row(row.source, {**row.values, "split": split})
        rows.append((folder, row))
    return rows
