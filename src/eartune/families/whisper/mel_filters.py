"""The mel filters of OpenAI's mel_filters.npz, every value of them. M mel bins, F frequencies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eartune.audio import SAMPLE_RATE_HZ
from eartune.families.whisper.features import FFT_SAMPLES

# Slaney's scale: linear up to 1000 Hz, then logarithmic (Auditory Toolbox, 1998)
_HZ_PER_MEL = 200 / 3
_FIRST_LOG_HZ = 1000.0
_FIRST_LOG_MEL = 15.0
_LOG_STEP = np.log(6.4) / 27


def openai_mel_filters(num_mel_bins: int) -> npt.NDArray[np.float32]:
    """Return filters [M, F] as librosa computes them, which made OpenAI's file: rounded to float32 twice."""
    highest_mel = _FIRST_LOG_MEL + np.log(SAMPLE_RATE_HZ / 2 / _FIRST_LOG_HZ) / _LOG_STEP
    corners_hz = _hz(np.linspace(0, highest_mel, num_mel_bins + 2))
    frequencies_hz_F = np.fft.rfftfreq(FFT_SAMPLES, 1 / SAMPLE_RATE_HZ)
    widths_hz = np.diff(corners_hz)[:, None]
    distances_hz = corners_hz[:, None] - frequencies_hz_F
    rising_MF = -distances_hz[:-2] / widths_hz[:-1]
    falling_MF = distances_hz[2:] / widths_hz[1:]
    filters_MF = np.maximum(0, np.minimum(rising_MF, falling_MF)).astype(np.float32)
    areas_M1 = 2 / (corners_hz[2:] - corners_hz[:-2])[:, None]
    # a sum with +0 leaves no -0, whose place depends on NumPy's version
    return (filters_MF * areas_M1).astype(np.float32) + np.float32(0)


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logarithmic = _FIRST_LOG_HZ * np.exp(_LOG_STEP * (mels - _FIRST_LOG_MEL))
    return np.where(mels >= _FIRST_LOG_MEL, logarithmic, _HZ_PER_MEL * mels)
