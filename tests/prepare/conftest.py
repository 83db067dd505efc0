"""Recordings for tests of prepare."""

import zlib
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
        seed = zlib.crc32("/".join(path.parts[-2:]).encode())
        noise = np.random.default_rng(seed).uniform(-1, 1, round(duration_s * rate_hz))
        soundfile.write(path, np.clip(loudness * noise, -1, 1), rate_hz)
        return path

    return write
