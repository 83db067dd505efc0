"""The files of a run, and summary.json, which says how it went.

runs/NAME/
    origin.json      family, base model, resolved configuration with its sources, versions, data
    config.yaml      the configuration again, to start another run from
    metrics.csv      loss, learning rate, WER, ... step by step
    tensorboard/     the same for TensorBoard
    checkpoints/     what an interrupted run goes on from
    best/, last/     the model (or adapter) to use, each with an origin.json of its own
    merged/          the adapter merged into its base, if asked for
    launch.log       what a launcher showed, from before there was a run
    summary.json     how it went, written when it is finished
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from eartune.files import recover_directory
from eartune.origin import ORIGIN
from eartune.parsing import JsonObject
from eartune.records import Record, read_record_file, write_record_file

_SUMMARY_ADVICE = "delete the file, and the run ends again from its newest checkpoint"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


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
    def staging(self) -> Path:
        """Where a checkpoint is written before it is whole."""
        return self.checkpoints / ".writing"

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


class ValidationRecord(Record):
    """What one validation measured: rates are fractions, absent where the speech was not decoded."""

    step: int
    eval_wer: float | None = None
    eval_cer: float | None = None
    eval_loss: float

    @property
    def figures(self) -> dict[str, float]:
        """What was measured, by name, and the step."""
        return self.model_dump(exclude_none=True)


def _nothing_if_empty(value: object) -> object:
    return None if value == {} else value


def _empty_if_nothing(best: ValidationRecord | None) -> JsonObject:
    return best.to_json() if best else {}


class RunSummary(Record):
    """What summary.json holds: how a finished run went, as TrainedRun has it."""

    # where it lies is known by who reads it; null in every file
    path: str | None = None
    steps: int
    epochs: float
    train_seconds: float
    audio_seconds: float
    best: Annotated[ValidationRecord | None, BeforeValidator(_nothing_if_empty), PlainSerializer(_empty_if_nothing)] = (
        None
    )
    """The best validation; {} in the file of a run that measured nothing."""
    validations: list[ValidationRecord] = Field(default_factory=list)
    merged: str | None = None
    """The folder of the merged model within the run."""
    waited_seconds: float = 0.0
    exported: str | None = None
    remarks: list[str] = Field(default_factory=list)


def read_summary(run: RunDir) -> RunSummary | None:
    """Read summary.json of a run; None where it is not finished. Raises InputError in one line where it is damaged."""
    return read_record_file(run.finished, RunSummary, advice=_SUMMARY_ADVICE) if run.finished.is_file() else None


def write_summary(run: RunDir, summary: RunSummary) -> None:
    """Write summary.json, which says that the run is finished."""
    write_record_file(run.finished, summary)
