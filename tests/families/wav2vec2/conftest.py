"""Models and clips of this folder's tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eartune.families.registry import family
from eartune.families.wav2vec2.model import Wav2Vec2Model
from eartune.model import Waveform

LENGTHS = (16_000, 24_321, 9_000, 401)


@pytest.fixture(scope="session")
def clips() -> list[Waveform]:
    """Clips of noise of different lengths and levels, with an offset."""
    generator = np.random.default_rng(0)
    return [
        (0.02 * number + 0.1 * number * generator.standard_normal(length)).astype(np.float32)
        for number, length in enumerate(LENGTHS, start=1)
    ]


def load(folder: Path, **options: Any) -> Wav2Vec2Model:
    loader = family("wav2vec2")
    model = loader.load(loader.find(str(folder)), **options)
    assert isinstance(model, Wav2Vec2Model)
    return model
