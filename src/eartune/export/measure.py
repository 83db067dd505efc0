"""Measurement of a runtime on clips: hypotheses, seconds and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from eartune.audio import SAMPLE_RATE_HZ
from eartune.export.parity import Cost
from eartune.model import Waveform
from eartune.runtimes.runtime import Runtime

SAMPLE_EVERY_S = 0.02


@dataclass(frozen=True)
class ClipTranscripts:
    """A runtime's hypotheses of some clips, and their cost."""

    hypotheses: tuple[str, ...]
    cost: Cost


@contextmanager
def measured(
    open_runtime: Callable[[Path], Runtime],
    exported: Path,
    waveforms: Sequence[Waveform],
    languages: Sequence[str | None],
) -> Iterator[tuple[ClipTranscripts, Runtime]]:
    """Open an export, decode clips one after another, and yield the results and the runtime, which is then closed.

    Raises the exceptions of the runtime. The first call in a process also includes the import of its runtime.
    """
    with ExitStack() as stack:
        with _peak_memory() as peak:
            began = time.perf_counter()
            runtime = stack.enter_context(open_runtime(exported))
            opened = time.perf_counter()
            hypotheses = tuple(runtime.transcribe(*clip) for clip in zip(waveforms, languages, strict=True))
            ended = time.perf_counter()
        cost = Cost(
            load_s=opened - began,
            decode_s=ended - opened,
            speech_s=sum(map(len, waveforms)) / SAMPLE_RATE_HZ,
            peak_memory_bytes=peak[0],
            size_bytes=size_bytes(exported),
        )
        yield ClipTranscripts(hypotheses, cost), runtime


def size_bytes(exported: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = exported.rglob("*") if exported.is_dir() else [exported]
    return sum(path.stat().st_size for path in files if path.is_file())


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Yield a list of one number: peak memory of the process and its children in the block, above that at its start.

    It is sampled: the peak that the system records counts from the start of the process.
    """
    before = _memory_bytes()
    peak = [0]
    ended = threading.Event()

    def sample() -> None:
        peak[0] = max(peak[0], _memory_bytes() - before)

    def sample_until_ended() -> None:
        while not ended.wait(SAMPLE_EVERY_S):
            sample()

    sampler = threading.Thread(target=sample_until_ended, daemon=True)
    sampler.start()
    try:
        yield peak
    finally:
        ended.set()
        sampler.join()
        sample()


def _memory_bytes() -> int:
    """Return the memory of the process and its children: some runtimes compute in one."""
    process = psutil.Process()
    found = int(process.memory_info().rss)
    for child in process.children(recursive=True):
        try:
            found += child.memory_info().rss
        except psutil.NoSuchProcess:
            # it has ended meanwhile
            continue
    return found
