"""Trainer callbacks: metrics files, progress, and interruption."""

from __future__ import annotations

import csv
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eartune.files import write_text_atomic
from eartune.reporting import Reporter, Task

COLUMNS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "eval_loss", "eval_wer", "eval_cer")
MEMORY_COLUMNS = ("gpu_allocated_gib", "gpu_reserved_gib", "gpu_peak_gib", "process_resident_gib", "process_peak_gib")


class MetricsFile(TrainerCallback):  # type: ignore[misc]
    """Writes metrics.csv. A resumed run first removes the rows after its checkpoint."""

    def __init__(self, path: Path, *, with_memory: bool = False) -> None:
        self.path = path
        self.columns = COLUMNS + (MEMORY_COLUMNS if with_memory else ())

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        rows = [self.columns, *filter(None, (_row(logs, self.columns) for logs in state.log_history))]
        write_text_atomic(self.path, "".join(",".join(row) + "\n" for row in rows))

    def on_log(
        self, _: TrainingArguments, state: TrainerState, __: TrainerControl, logs: dict[str, Any], **___: Any
    ) -> None:
        row = _row({**logs, "step": state.global_step}, self.columns)
        if row:
            with self.path.open("a", encoding="utf-8", newline="") as stream:
                csv.writer(stream, lineterminator="\n").writerow(row)


def _row(logs: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """Return the values of one log entry in the order of `columns`; empty for entries without a loss."""
    if not {"loss", "eval_loss"} & logs.keys():
        return []
    return [f"{logs[name]:.6g}" if isinstance(logs.get(name), (int, float)) else "" for name in columns]


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


class Interruption(TrainerCallback):  # type: ignore[misc]
    """Turns Ctrl+C (and SIGTERM) into a checkpoint after the current step; a second one stops at once."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.requested = False

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handle the signals inside the context."""
        # Python lets only the main thread handle signals
        in_main = threading.current_thread() is threading.main_thread()
        signals = [signal.SIGINT, signal.SIGTERM] if in_main else []
        before = {number: signal.signal(number, self._request) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, _: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        name = "Ctrl+C" if number == signal.SIGINT else "SIGTERM"
        self.reporter.line(f"{name}: saving after this step (once more to stop at once) ...")

    def on_step_end(self, _: TrainingArguments, __: TrainerState, control: TrainerControl, **___: Any) -> None:
        if self.requested:
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
