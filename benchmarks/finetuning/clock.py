"""What a run notes of itself: when it began to train, the time of each optimiser step, its peak memory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.whisper.machine import host_peak_bytes


class Clock:
    """Started with the process, by the wall clock of the one that started it; written when all steps are done."""

    def __init__(self, started: float, *, import_seconds: float) -> None:
        self.started = started
        self.noted: dict[str, Any] = {"import_seconds": import_seconds, "steps": []}
        self.last: tuple[float, float] | None = None

    def begin(self) -> None:
        """Note that the first step begins; later steps begin where the one before has ended."""
        if self.last is None:
            self.noted["first_step_begins_s"] = time.time() - self.started
            self.last = _now()

    def end_step(self) -> None:
        assert self.last is not None
        now = _now()
        seconds, processor_seconds = (after - before for after, before in zip(now, self.last, strict=True))
        self.noted["steps"].append({"seconds": seconds, "processor_seconds": processor_seconds})
        self.last = now

    def write(self, path: Path) -> None:
        self.noted["peak_bytes"] = host_peak_bytes()
        path.write_text(json.dumps(self.noted), encoding="utf-8")


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
