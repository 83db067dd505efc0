"""What all contenders are given alike."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eartune.training.device import Precision


@dataclass(frozen=True)
class Setting:
    """One benchmark's material and sizes; `folder` is a contender's own, empty when it starts."""

    model: Path
    train: Path
    """Manifest whose order is the order of training: each `clips_per_step` of its rows hold about equal audio."""
    test: Path
    folder: Path
    language: str
    clips_per_step: int
    clips_per_pass: int
    precision: Precision
    """Of all contenders that do not say otherwise."""
    workers: int
    max_tokens: int

    def passes_per_step(self) -> int:
        return self.clips_per_step // self.clips_per_pass

    def rows(self, split: str) -> list[dict[str, object]]:
        """Return the rows of the manifest `train` or `test`, with absolute paths."""
        text = {"train": self.train, "test": self.test}[split].read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def durations_s(self, split: str) -> list[float]:
        return [float(str(row["duration"])) for row in self.rows(split)]

    def to_json(self) -> dict[str, object]:
        values = dataclasses.asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def read_setting(path: Path) -> Setting:
    # Any: values of JSON
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Setting(**values | {name: Path(values[name]) for name in ("model", "train", "test", "folder")})
