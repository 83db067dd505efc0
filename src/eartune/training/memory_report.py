"""Memory reports during a run: progress lines, and figures logged with the loss."""

from __future__ import annotations

import sys
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eartune.reporting import Reporter

if sys.platform != "win32":
    import resource

GIB = 2**30
# ru_maxrss is in kibibytes, but in bytes on macOS
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class MemoryReport(TrainerCallback):  # type: ignore[misc]
    """Shows `[MEM:fit_start] ...`, `[MEM:step50] ...` every `every_steps`, `[MEM:val_end] ...`, `[MEM:fit_end] ...`.

    GPU peaks count from fit_start, those of the process from its start.
    """

    def __init__(self, reporter: Reporter, *, every_steps: int) -> None:
        self.reporter = reporter
        self.every_steps = every_steps

    def on_train_begin(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        if args.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(args.device)
        self._report_memory("fit_start", args)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        if state.global_step % self.every_steps == 0:
            self._report_memory(f"step{state.global_step}", args)

    def on_evaluate(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        self._report_memory("val_end", args)

    def on_train_end(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        self._report_memory("fit_end", args)

    def _report_memory(self, moment: str, args: TrainingArguments) -> None:
        figures = memory_gib(args.device)
        groups = {"GPU": "gpu_", "process": "process_"}
        parts = [
            f"{shown} "
            + ", ".join(
                f"{name.removeprefix(prefix).removesuffix('_gib')} {value:.2f}"
                for name, value in figures.items()
                if name.startswith(prefix)
            )
            for shown, prefix in groups.items()
            if any(name.startswith(prefix) for name in figures)
        ]
        self.reporter.line(f"[MEM:{moment}] {'; '.join(parts)} GiB")


def memory_gib(device: torch.device) -> dict[str, float]:
    """Measure memory in GiB: on a CUDA GPU allocated by torch's tensors, reserved by torch, and peak allocated; of the
    process resident, and peak resident."""
    figures = {}
    if device.type == "cuda":
        figures = {
            "gpu_allocated_gib": torch.cuda.memory_allocated(device) / GIB,
            "gpu_reserved_gib": torch.cuda.memory_reserved(device) / GIB,
            "gpu_peak_gib": torch.cuda.max_memory_allocated(device) / GIB,
        }
    resident = psutil.Process().memory_info().rss
    # Linux records the peak less exactly than the current value
    peak = max(resident, _peak_resident_bytes())
    return figures | {"process_resident_gib": resident / GIB, "process_peak_gib": peak / GIB}


def _peak_resident_bytes() -> int:
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
