"""What a runtime takes is measured with its children, and it is closed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eartune.export.measure import measured
from eartune.model import Waveform
from eartune.runtimes.runtime import RuntimeBase

HELD_BYTES = 200_000_000
HOLD = f"import sys; held = b'x' * {HELD_BYTES}; print(len(held), flush=True); sys.stdin.read()"


class InAChild(RuntimeBase):
    """A runtime that holds its memory in a process of its own."""

    def __init__(self, _: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        if not waveform_S.size:
            raise ValueError("no samples")
        return f"{waveform_S.size} samples of {language}"

    def close(self) -> None:
        self.process.communicate("")


def test_memory_of_child_processes_counts_and_the_runtime_is_closed(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(bytes(1_000))
    opened: list[InAChild] = []

    def opener(path: Path) -> InAChild:
        opened.append(InAChild(path))
        return opened[-1]

    clips = [np.zeros(16_000, dtype=np.float32), np.zeros(8_000, dtype=np.float32)]
    with measured(opener, tmp_path, clips, ["en", "de"]) as (heard, runtime):
        assert runtime is opened[0]
        assert opened[0].process.poll() is None
    assert heard.hypotheses == ("16000 samples of en", "8000 samples of de")
    assert heard.cost.size_bytes == 1_000
    assert heard.cost.speech_s == 1.5
    assert heard.cost.peak_memory_bytes is not None
    assert HELD_BYTES * 0.9 < heard.cost.peak_memory_bytes < 2 * HELD_BYTES
    assert opened[0].process.poll() == 0
    with (
        pytest.raises(ValueError, match="no samples"),
        measured(opener, tmp_path, [np.zeros(0, dtype=np.float32)], [None]),
    ):
        pytest.fail("it went on")
    assert opened[1].process.poll() == 0
