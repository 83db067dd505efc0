"""The one writer of a run's files: its start, metrics.csv, checkpoints, best/ and last/, and how it ended."""

from __future__ import annotations

import csv
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eartune.base_model import weight_files
from eartune.errors import InputError
from eartune.files import new_directory, new_file, write_text_atomic
from eartune.model import SpeechModel
from eartune.origin import RunOrigin, write_origin
from eartune.parsing import dump_yaml
from eartune.run_dir import RunDir, RunSummary, write_summary
from eartune.training.adaptation.adapter_files import Weights, save_adapter, save_as_trained, save_weights
from eartune.training.adaptation.trainable import Adaptation
from eartune.training.divergence import require_finite_weights

COLUMNS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "eval_loss", "eval_wer", "eval_cer")
MEMORY_COLUMNS = ("gpu_allocated_gib", "gpu_reserved_gib", "gpu_peak_gib", "process_resident_gib", "process_peak_gib")


def write_start(run: RunDir, origin: RunOrigin, *, config: Mapping[str, Any], initial: Weights | None) -> None:
    """Create the folder of a new run: its origin, its configuration, and the initial value of its adapter."""
    write_origin(run.root, origin)
    if initial is not None:
        with new_file(run.initial_adapter) as aside:
            save_weights(initial, aside)
    write_text_atomic(run.config, dump_yaml(dict(config)))


class RunWriter(TrainerCallback):  # type: ignore[misc]
    """Writes the files of a run as it is trained.

    The Trainer writes each checkpoint into `run.staging`; when it is whole, it is renamed, so that every folder in
    `run.checkpoints` is complete. best/ and last/ replace the previous ones in the same way.
    """

    def __init__(
        self,
        run: RunDir,
        model: SpeechModel,
        adaptation: Adaptation,
        origin: RunOrigin,
        *,
        metrics_columns: Sequence[str] = COLUMNS,
    ) -> None:
        self.run = run
        self.model = model
        self.adaptation = adaptation
        self.origin = origin
        # none of them: no metrics.csv
        self.columns = tuple(metrics_columns)
        # a validation before the first step is not of weights that this run trained
        self.has_trained = False

    # metrics.csv

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        """Begin metrics.csv. A resumed run first removes the rows after its checkpoint."""
        self.has_trained = False
        if self.columns:
            rows = [self.columns, *filter(None, (self._row(logs) for logs in state.log_history))]
            write_text_atomic(self.run.metrics, "".join(",".join(row) + "\n" for row in rows))

    def on_log(
        self, _: TrainingArguments, state: TrainerState, __: TrainerControl, logs: dict[str, Any], **___: Any
    ) -> None:
        row = self._row({**logs, "step": state.global_step})
        if row:
            with self.run.metrics.open("a", encoding="utf-8", newline="") as stream:
                csv.writer(stream, lineterminator="\n").writerow(row)

    def _row(self, logs: Mapping[str, Any]) -> list[str]:
        """Return the values of one log entry in the order of the columns; empty for entries without a loss."""
        if not self.columns or not {"loss", "eval_loss"} & logs.keys():
            return []
        return [f"{logs[name]:.6g}" if isinstance(logs.get(name), (int, float)) else "" for name in self.columns]

    # weights

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.has_trained = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        _: TrainerControl,
        metrics: dict[str, float],
        **__: Any,
    ) -> None:
        """Write best/ if no earlier validation was as good."""
        measured = metrics.get(f"eval_{args.metric_for_best_model}", math.nan)
        # the Trainer notes a new best after its callbacks
        if self.has_trained and measured < (math.inf if state.best_metric is None else state.best_metric):
            require_finite_weights(self.model.network, state.global_step)
            self._write_model(self.run.best, state.global_step, metrics)

    def on_save(self, args: TrainingArguments, state: TrainerState, _: TrainerControl, **__: Any) -> None:
        """Move the checkpoint that the Trainer has written into its place, remove outdated ones, and write last/."""
        require_finite_weights(self.model.network, state.global_step)
        written = self.run.staging / f"checkpoint-{state.global_step}"
        for path in written.rglob("*"):
            _flush(path)
        final = self.run.checkpoints / written.name
        if final.exists():
            shutil.rmtree(final)
        written.replace(final)
        shutil.rmtree(self.run.staging)
        for outdated in self.run.list_checkpoints()[: -args.save_total_limit]:
            shutil.rmtree(outdated)
        self._write_model(self.run.last, state.global_step, {})

    def write_weights(self, folder: Path) -> None:
        """Write the weights as they are trained, for a checkpoint."""
        shutil.rmtree(self.run.staging, ignore_errors=True)
        folder.mkdir(parents=True)
        network = self.model.network
        if isinstance(network, PeftModel):
            # PEFT's load_adapter reads it again, also the named weights outside of adapters
            save_as_trained(network, folder, unfrozen=self.adaptation.unfrozen)
        else:
            network.save_pretrained(folder)

    def _write_model(self, folder: Path, step: int, metrics: dict[str, float]) -> None:
        """Write the current model, whose weights are finite, for later verbs, in place of the previous one."""
        network = self.model.network
        kind: Literal["adapter", "model"] = "adapter" if isinstance(network, PeftModel) else "model"
        with new_directory(folder, replace=True) as staging:
            if isinstance(network, PeftModel):
                save_adapter(network, staging, initial=self.adaptation.initial, unfrozen=self.adaptation.unfrozen)
            else:
                network.save_pretrained(staging)
            self.model.save(staging, weights=False)
            write_origin(staging, self.origin.of_weights(kind, parent=self.run.root, step=step, metrics=metrics))

    def finish(self, summary: RunSummary) -> None:
        """Write how the run ended, which marks it as finished."""
        write_summary(self.run, summary)


def load_checkpoint_weights(network: nn.Module, checkpoint: Path) -> None:
    """Load the weights of a checkpoint into the network that was trained. Raises InputError where some are missing."""
    if isinstance(network, PeftModel):
        network.load_adapter(str(checkpoint), "default", is_trainable=True)
        return
    own: dict[str, torch.Tensor] = network.state_dict()
    loaded: set[int] = set()
    for path in weight_files(checkpoint):
        weights = load_file(path)
        network.load_state_dict(weights, strict=False)
        loaded |= {own[name].data_ptr() for name in weights if name in own}
    # weights that two modules share are in the file once
    missing = [name for name, value in own.items() if value.numel() and value.data_ptr() not in loaded]
    if missing:
        raise InputError(f"{checkpoint}: has no weight {missing[0]}; delete it to resume from the one before")


def _flush(path: Path) -> None:
    """Flush a file from memory to disk, before renaming marks it as complete."""
    if path.is_file():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
