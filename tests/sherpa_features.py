"""sherpa-onnx's features of NeMo's models (kaldi-native-fbank), written down again in NumPy to compare with.

They differ from NeMo's: frames lie 5 ms later and are mirrored at the ends, each is pre-emphasised by itself, the
window is Kaldi's own for transducers, mel filters end at 7.6 kHz but for CTC, energies have a floor instead of a guard,
and deviations divide by the number of frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from transformers.audio_utils import mel_filter_bank

from eartune.model import Waveform

LENGTH, SHIFT, FFT, PREEMPHASIS = 400, 160, 512, 0.97


def sherpa_features(waveform_S: Waveform, *, num_mels: int, kind: str) -> npt.NDArray[np.float32]:
    """Return the features [T, M] that sherpa-onnx gives a model of a kind in tests/tiny_nemo.py."""
    num_frames = (len(waveform_S) + SHIFT // 2) // SHIFT
    first_T = SHIFT * np.arange(num_frames) + SHIFT // 2 - LENGTH // 2
    places_TL = first_T[:, None] + np.arange(LENGTH)
    places_TL = np.where(places_TL < 0, -places_TL - 1, places_TL)
    places_TL = np.where(places_TL >= len(waveform_S), 2 * len(waveform_S) - 1 - places_TL, places_TL)
    frames_TL = waveform_S[places_TL].astype(np.float64)
    before_TL = np.concatenate([frames_TL[:, :1], frames_TL[:, :-1]], axis=1)
    frames_TL = (frames_TL - PREEMPHASIS * before_TL) * window(kind)
    power_TF = np.abs(np.fft.rfft(frames_TL, FFT)) ** 2
    filters_FM = mel_filter_bank(
        num_frequency_bins=1 + FFT // 2,
        num_mel_filters=num_mels,
        min_frequency=0.0,
        max_frequency=8000.0 if kind == "ctc" else 7600.0,
        sampling_rate=16_000,
        norm="slaney",
        mel_scale="slaney",
    )
    log_TM = np.log(np.maximum(power_TF @ filters_FM, np.finfo(np.float32).eps))
    return ((log_TM - log_TM.mean(axis=0)) / (log_TM.std(axis=0) + 1e-5)).astype(np.float32)


def window(kind: str) -> npt.NDArray[np.float64]:
    angle_L = 2 * np.pi * np.arange(LENGTH) / (LENGTH if kind in ("ctc", "canary") else LENGTH - 1)
    hann_L = 0.5 - 0.5 * np.cos(angle_L)
    return hann_L if kind in ("ctc", "canary") else hann_L**0.85
