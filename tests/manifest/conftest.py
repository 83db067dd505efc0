"""A recording of 10 s in two channels, and manifests beside it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from eartune.errors import InputError
from eartune.manifest import Utterance, read_manifest

Read = Callable[..., Sequence[Utterance]]
Refused = Callable[..., str]


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """Ten seconds in two channels: 0.1 on the left, 0.2 on the right."""
    path = tmp_path / "call.wav"
    soundfile.write(path, np.tile(np.float32([0.1, 0.2]), (80_000, 1)), 8000)
    return path


@pytest.fixture
def read(call: Path) -> Read:
    """Return a function that reads rows about the call, given as values beside path and text, or a whole table."""

    def read_rows(*rows: dict[str, object], table: str | None = None) -> Sequence[Utterance]:
        path = call.with_name("m.csv" if table else "m.jsonl")
        lines = [json.dumps({"path": "call.wav", "text": "good morning", **row}) for row in rows]
        path.write_text(table or "\n".join(lines), encoding="utf-8")
        return read_manifest(path).utterances

    return read_rows


@pytest.fixture
def refused(read: Read) -> Refused:
    """Return a function that gives the finding about the only row."""

    def finding(row: dict[str, object]) -> str:
        with pytest.raises(InputError) as caught:
            read(row)
        return str(caught.value).splitlines()[1].split(": ", 1)[1]

    return finding
