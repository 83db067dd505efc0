"""The training loop of a run: transformers' Trainer with the callbacks, files and validation of a configuration."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments

from eartune.config import TrainConfig
from eartune.errors import Interrupted
from eartune.manifest import Utterance
from eartune.reporting import Reporter
from eartune.stopping import StopToken, stopping_on_signals
from eartune.training.arguments import learning_rate_floor
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.epochs import Epochs
from eartune.training.callbacks import LastStep, ProgressLine, StopOnRequest, TensorBoardFiles
from eartune.training.loss import SpeechLoss
from eartune.training.memory_report import MemoryReport, memory_gib
from eartune.training.run_writer import RunWriter
from eartune.training.trainer import SpeechTrainer
from eartune.training.validation import Validation

Watch = Callable[[SpeechTrainer], Iterable[TrainerCallback]]


@dataclass(frozen=True)
class TrainedRun:
    """The result of training. `best` and `validations` are error rates as fractions, empty without validation.

    `train_seconds` and `audio_seconds` are those of this call: of a resumed run, the part after its checkpoint;
    `waited_seconds` is the part of `train_seconds` spent waiting for audio to be read. `remarks` are about the speech
    it was trained on.
    """

    path: Path
    steps: int
    epochs: float
    train_seconds: float
    audio_seconds: float
    best: dict[str, float]
    validations: tuple[dict[str, float], ...]
    merged: Path | None
    waited_seconds: float = 0.0
    exported: Path | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """All inputs of the training loop besides the configuration."""

    loss: SpeechLoss
    writer: RunWriter
    dataset: SpeechDataset
    validation: tuple[Utterance, ...]
    epochs: Epochs
    arguments: TrainingArguments
    checkpoint: Path | None


def run_trainer(
    config: TrainConfig, prepared: Prepared, report: Reporter, watch: Watch | None, stop: StopToken
) -> TrainedRun:
    """Train to the end. Raises Interrupted after Ctrl+C or another request to stop, once the checkpoint is written."""
    loss, checkpoint, progress = prepared.loss, prepared.checkpoint, ProgressLine(report)
    run, validation = prepared.writer.run, None
    if prepared.validation:
        validation = Validation(prepared.validation, config.validation, loss, stop, report)
    trainer = SpeechTrainer(
        loss,
        prepared.writer,
        arguments=prepared.arguments,
        train=prepared.dataset,
        epochs=prepared.epochs,
        validation=validation,
        layerwise_lr_decay=config.optimizer.layerwise_lr_decay,
        reporter=report,
        callbacks=[
            *([TensorBoardFiles(run.tensorboard)] if "tensorboard" in config.run.report_to else []),
            progress,
            *_memory_report(config, report),
            StopOnRequest(stop),
            LastStep(),
            *_early_stopping(config),
        ],
        lowest_lr=learning_rate_floor(config),
        also_logged=partial(memory_gib, loss.device) if config.run.mem_report_steps else dict,
    )
    for callback in watch(trainer) if watch is not None else ():
        trainer.add_callback(callback)
    progress.trained_audio_s = lambda: trainer.audio_seconds
    if checkpoint is not None:
        report.line(f"resuming from {checkpoint.name}")
    began = time.monotonic()
    try:
        with stopping_on_signals(stop, report, then="saving after this step"), progress.stack:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        # the Trainer makes it, and a save that failed may have left something
        shutil.rmtree(run.staging, ignore_errors=True)
    if stop.is_set():
        raise Interrupted(
            f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps}, and saved in {run.root}; "
            f"give the same command again{' without --overwrite' if config.run.overwrite else ''} to go on"
        )
    return TrainedRun(
        path=run.root,
        steps=trainer.state.global_step,
        epochs=float(trainer.state.epoch or 0),
        train_seconds=time.monotonic() - began,
        audio_seconds=trainer.audio_seconds,
        waited_seconds=trainer.waited_seconds,
        best=_best(trainer.state.log_history, config.validation.metric_for_best_model),
        validations=tuple(_validations(trainer.state.log_history)),
        merged=None,
    )


def _memory_report(config: TrainConfig, report: Reporter) -> list[TrainerCallback]:
    every_steps = config.run.mem_report_steps
    return [MemoryReport(report, every_steps=every_steps)] if every_steps else []


def _early_stopping(config: TrainConfig) -> list[TrainerCallback]:
    validation = config.validation
    if not validation.early_stop:
        return []
    return [EarlyStoppingCallback(validation.early_stopping_patience or 1, validation.early_stopping_threshold)]


def _validations(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    names = ("step", "eval_wer", "eval_cer", "eval_loss")
    return [{n: entry[n] for n in names if n in entry} for entry in history if "eval_loss" in entry]


def _best(history: list[dict[str, Any]], metric: str) -> dict[str, float]:
    measured = [entry for entry in _validations(history) if f"eval_{metric}" in entry]
    return min(measured, key=lambda entry: entry[f"eval_{metric}"]) if measured else {}
