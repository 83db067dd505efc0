"""Trainer callbacks: progress on the terminal and for TensorBoard, and requests to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eartune.reporting import Reporter, Task
from eartune.stopping import StopToken
from eartune.training.run_writer import COLUMNS, MEMORY_COLUMNS


class TensorBoardFiles(TrainerCallback):  # type: ignore[misc]
    """Writes TensorBoard's event files. A resumed run purges the events after its checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        self.writer = SummaryWriter(self.folder, purge_step=state.global_step + 1 if state.global_step else None)

    def on_log(
        self, _: TrainingArguments, state: TrainerState, __: TrainerControl, logs: dict[str, Any], **___: Any
    ) -> None:
        for name in COLUMNS[2:] + MEMORY_COLUMNS:
            if self.writer is not None and isinstance(logs.get(name), (int, float)):
                group = "memory" if name in MEMORY_COLUMNS else "validation" if name.startswith("eval_") else "train"
                self.writer.add_scalar(f"{group}/{name.removeprefix('eval_')}", logs[name], state.global_step)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        if self.writer is not None:
            self.writer.close()


class ProgressLine(TrainerCallback):  # type: ignore[misc]
    """Shows epoch, step, loss, WER and audio seconds per second during training."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.stack = ExitStack()
        self.task: Task | None = None
        self.loss = self.best = ""
        self.began = 0.0
        self.trained_audio_s: Callable[[], float] = lambda: 0.0

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        shown: AbstractContextManager[Task] = self.reporter.task("training", state.max_steps)
        self.task = self.stack.enter_context(shown)
        self.task.jump(state.global_step)
        self.began = time.monotonic()

    def on_step_end(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        assert self.task is not None
        rate = self.trained_audio_s() / max(time.monotonic() - self.began, 1e-9)
        parts = [f"epoch {state.epoch or 0:.2f}", self.loss, self.best, f"{rate:.1f} s audio/s"]
        self.task.advance(1, note=" · ".join(part for part in parts if part))

    def on_log(
        self, _: TrainingArguments, __: TrainerState, ___: TrainerControl, logs: dict[str, Any], **____: Any
    ) -> None:
        if "loss" in logs:
            self.loss = f"loss {logs['loss']:.3f}"

    def on_evaluate(
        self, _: TrainingArguments, state: TrainerState, __: TrainerControl, metrics: dict[str, float], **___: Any
    ) -> None:
        error_rates = [
            f"{name[5:].upper()} {100 * metrics[name]:.1f} %" for name in ("eval_wer", "eval_cer") if name in metrics
        ]
        self.best = error_rates[0] if error_rates else ""
        found = ", ".join([*error_rates, f"loss {metrics['eval_loss']:.3f}"])
        self.reporter.line(f"validation after step {state.global_step}: {found}")

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.stack.close()


class StopOnRequest(TrainerCallback):  # type: ignore[misc]
    """Ends training after the current step, with a checkpoint, once a stop is requested."""

    def __init__(self, stop: StopToken) -> None:
        self.stop = stop

    def on_step_end(self, _: TrainingArguments, __: TrainerState, control: TrainerControl, **___: Any) -> None:
        if self.stop.is_set():
            control.should_save = True
            control.should_training_stop = True

    def on_evaluate(self, _: TrainingArguments, __: TrainerState, control: TrainerControl, **___: Any) -> None:
        self.on_step_end(_, __, control)


class LastStep(TrainerCallback):  # type: ignore[misc]
    """Evaluates and saves after the last step too, so that the final weights can become the best."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_save = True
            control.should_evaluate = args.eval_strategy != "no"
