"""ONNX folders of NeMo's models: their config.json and required files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from eartune.errors import InputError
from eartune.model import Waveform
from eartune.parsing import read_json

MULTI_TASK = "nemo-conformer-aed"
TOKENS = "tokens.txt"
# frames of 10 ms
_FRAME_SAMPLES = 160
# normalisation divides by the standard deviation, which a single frame does not have
_MIN_FRAMES = 2


class _Config(TypedDict):
    model_type: Literal["nemo-conformer-ctc", "nemo-conformer-rnnt", "nemo-conformer-tdt", "nemo-conformer-aed"]
    features_size: Annotated[int, Field(ge=1, lt=1000)]
    subsampling_factor: Annotated[int, Field(ge=1, lt=1000)]


@dataclass(frozen=True)
class NemoFolder:
    """A folder and its config.json."""

    path: Path
    kind: str
    features_size: int
    subsampling_factor: int

    @property
    def position_s(self) -> float:
        """Duration of an encoder position."""
        return 0.01 * self.subsampling_factor

    def languages(self, language: str | None, *, task: str) -> tuple[str, str] | None:
        """Return the spoken language and the one to write, None for a model that is not told languages.

        Raises InputError for languages that the model has no token for.
        """
        if self.kind != MULTI_TASK:
            return None
        text = (self.path / TOKENS).read_text(encoding="utf-8", errors="replace")
        known = re.findall(r"^<\|([a-z]{2})\|> ", text, flags=re.MULTILINE)
        if language is None:
            raise InputError(f"{self.path}: the model needs a language, one of {', '.join(sorted(known))}")
        target = language if task == "transcribe" else "en"
        for each in (language, target):
            # runtimes would use another language instead
            if each not in known:
                raise InputError(f"{self.path}: has no token for language {each!r}; it has {', '.join(sorted(known))}")
        return language, target

    def require(self, names: tuple[str, ...], *, program: str) -> None:
        """Raise InputError if a file is missing."""
        missing = [name for name in names if not (self.path / name).is_file()]
        if missing:
            raise InputError(f"{self.path}: has no {missing[0]}, which {program} needs; export the model again")

    def require_long_enough(self, waveform_S: Waveform) -> None:
        """Raise InputError for clips that have no features: less than two frames of 10 ms."""
        if len(waveform_S) < _MIN_FRAMES * _FRAME_SAMPLES:
            raise InputError(f"a clip of {len(waveform_S)} samples is too short: give at least 0.02 s")


def open_onnx_folder(path: Path, *, task: str) -> NemoFolder:
    """Read config.json. Raises InputError for folders that eartune did not write, and for tasks a model does not do."""
    if not path.is_dir():
        raise InputError(f"{path}: is not a folder with ONNX files; give the path of an export")
    config = read_json(path / "config.json", _Config, advice="export the model again")
    kind = config["model_type"]
    if task != "transcribe" and kind != MULTI_TASK:
        raise InputError(f"task: {path} only transcribes, and cannot {task}")
    folder = NemoFolder(path, kind, config["features_size"], config["subsampling_factor"])
    if kind == MULTI_TASK:
        folder.require((TOKENS,), program="a model with languages")
    return folder
