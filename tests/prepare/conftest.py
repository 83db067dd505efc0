"""Recordings for tests of prepare."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Record = Callable[..., Path]


@pytest.fixture
def record() -> Record:
    """Return a function that writes a recording of noise, loud or soft, and says where."""

    def write(path: Path, *, duration_s: float = 1.0, loudness: float = 0.1, rate_hz: int = 16_000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(path.name)).uniform(-1, 1, round(duration_s * rate_hz))
        soundfile.write(path, np.clip(loudness * noise, -1, 1), rate_hz)
        return path

    return write
