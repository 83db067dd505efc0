"""The files of a run, and origin.json: what a later verb would otherwise have to ask.

runs/NAME/
    origin.json      family, base model, resolved configuration with its sources, versions, data
    config.yaml      the configuration again, to start another run from
    metrics.csv      loss, learning rate, WER, ... step by step
    tensorboard/     the same for TensorBoard
    checkpoints/     what an interrupted run goes on from
    best/, last/     the model (or adapter) to use, each with an origin.json of its own
    merged/          the adapter merged into its base, if asked for
    launch.log       what a launcher showed, from before there was a run
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eartune import __version__
from eartune.errors import InputError
from eartune.files import recover_directory, write_json_atomic
from eartune.manifest import Utterance

ORIGIN = "origin.json"
ORIGIN_FORMAT = 1
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy")


@dataclass(frozen=True)
class RunDir:
    """Paths inside one run."""

    root: Path

    @property
    def origin(self) -> Path:
        return self.root / ORIGIN

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.csv"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def initial_adapter(self) -> Path:
        return self.root / "initial_adapter.safetensors"

    @property
    def best(self) -> Path:
        return self.root / "best"

    @property
    def last(self) -> Path:
        return self.root / "last"

    @property
    def merged(self) -> Path:
        return self.root / "merged"

    @property
    def finished(self) -> Path:
        return self.root / "summary.json"

    @property
    def launch_log(self) -> Path:
        return self.root / "launch.log"

    def list_checkpoints(self) -> list[Path]:
        """List whole checkpoints, oldest first; what a killed process was writing is not among them."""
        found = [path for path in self.checkpoints.glob("checkpoint-*") if _CHECKPOINT.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    def recover(self) -> None:
        """Put back what was moved aside when a process was killed while replacing it."""
        for folder in (self.best, self.last, self.merged):
            recover_directory(folder)


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Read a folder's origin.json; None where there is not one. Raises InputError where it is damaged or newer."""
    path = folder / ORIGIN
    if not path.is_file():
        return None
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
        written_by, kind = origin["format"], origin["kind"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged; it should say what this folder was made from") from None
    if written_by > ORIGIN_FORMAT:
        raise InputError(f"{path}: was written by a newer eartune (format {written_by}); update eartune")
    assert kind
    return dict(origin)


def write_origin(folder: Path, **facts: Any) -> None:
    """Write origin.json with the given facts and the versions of what made them."""
    write_json_atomic(folder / ORIGIN, {"format": ORIGIN_FORMAT, **facts, "versions": _versions()})


def describe_data(utterances: Sequence[Utterance], manifests: Sequence[Path], *, skipped: int) -> dict[str, Any]:
    """Describe speech by what it is: size, and a hash over texts, times and the sizes of the audio files."""
    digest = hashlib.sha256()
    for utterance in utterances:
        row = [utterance.audio.name, utterance.audio.stat().st_size, utterance.offset_s, utterance.duration_s]
        row += [utterance.text, utterance.language]
        if utterance.channel is not None or utterance.segments:
            row += [utterance.channel, [astuple(segment) for segment in utterance.segments]]
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return {
        "manifests": [str(path) for path in manifests],
        "utterances": len(utterances),
        "skipped": skipped,
        "seconds": round(sum(utterance.duration_s for utterance in utterances), 3),
        "sha256": digest.hexdigest(),
    }


def _versions() -> dict[str, str]:
    found = {"eartune": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
