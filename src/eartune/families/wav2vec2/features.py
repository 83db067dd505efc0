"""Inputs of the encoders, in batch on the device: raw samples, or log-mel filter banks for wav2vec2-bert.

B batch, S samples, T frames of 10 ms, M mel bins, P positions of 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank, window_function

from eartune.audio import SAMPLE_RATE_HZ
from eartune.ops.widths import within

# wav2vec2's feature extractor adds it to the variance of the samples
SAMPLES_EPSILON = 1e-7
# SeamlessM4T's feature extractor: Kaldi's filter banks
FRAME_SAMPLES, HOP_SAMPLES, FFT_SAMPLES = 400, 160, 512
PREEMPHASIS = 0.97
INT16_SCALE = 2.0**15
MEL_FLOOR = 1.192092955078125e-07
BINS_EPSILON = 1e-7
FRAMES_PER_POSITION = 2


@dataclass(frozen=True)
class SampleSettings:
    """How raw samples are prepared: whether each clip gets mean 0 and variance 1."""

    do_normalize: bool = True


@dataclass(frozen=True)
class FilterBankSettings:
    """The number of mel bins of wav2vec2-bert's features."""

    num_mel_bins: int = 80


FeatureSettings = SampleSettings | FilterBankSettings


class Samples(nn.Module):
    """Raw samples, normalised over each clip, zeros after it. Source: Wav2Vec2FeatureExtractor of transformers."""

    def __init__(self, settings: SampleSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, waveforms_BS: torch.Tensor, samples_B: torch.Tensor) -> dict[str, torch.Tensor]:
        mask_BS = within(samples_B, waveforms_BS.shape[1])
        if self.settings.do_normalize:
            count_B1 = samples_B.clamp(min=1)[:, None]
            mean_B1 = (waveforms_BS * mask_BS).sum(dim=1, keepdim=True) / count_B1
            centred_BS = (waveforms_BS - mean_B1) * mask_BS
            variance_B1 = centred_BS.square().sum(dim=1, keepdim=True) / count_B1
            waveforms_BS = centred_BS / torch.sqrt(variance_B1 + SAMPLES_EPSILON)
        return {"input_values": waveforms_BS * mask_BS, "attention_mask": mask_BS.long()}


class FilterBanks(nn.Module):
    """Kaldi's log-mel filter banks, two frames per position, normalised over each clip.

    Offset, preemphasis, window and Fourier transform are linear in the samples of a frame, so they are one convolution,
    which ONNX can express too. Source: SeamlessM4TFeatureExtractor of transformers.
    """

    def __init__(self, settings: FilterBankSettings) -> None:
        super().__init__()
        self.settings = settings
        self.kernels_KF: torch.Tensor
        self.mel_KM: torch.Tensor
        self.register_buffer("kernels_KF", torch.from_numpy(_frame_transform()).float())
        self.register_buffer("mel_KM", torch.from_numpy(_mel_filters(settings.num_mel_bins)).float())

    def forward(self, waveforms_BS: torch.Tensor, samples_B: torch.Tensor) -> dict[str, torch.Tensor]:
        spectra_BKT = nn.functional.conv1d(
            INT16_SCALE * waveforms_BS[:, None], self.kernels_KF[:, None], stride=HOP_SAMPLES
        )
        real_BKT, imaginary_BKT = spectra_BKT.chunk(2, dim=1)
        power_BTK = (real_BKT.square() + imaginary_BKT.square()).transpose(1, 2)
        mels_BTM = (power_BTK @ self.mel_KM).clamp(min=MEL_FLOOR).log()
        frames_B = (samples_B - FRAME_SAMPLES) // HOP_SAMPLES + 1
        mask_BT = within(frames_B, mels_BTM.shape[1])
        features_BTM = _normalised(mels_BTM, mask_BT, frames_B)
        # an odd last frame is padded to a position, and the position counts only where both frames are speech
        num_positions = (features_BTM.shape[1] + 1) // FRAMES_PER_POSITION
        missing = num_positions * FRAMES_PER_POSITION - features_BTM.shape[1]
        padded_BTM = nn.functional.pad(features_BTM, (0, 0, 0, missing))
        # not len(), which ONNX would take for a constant
        stacked_BPM = padded_BTM.reshape(padded_BTM.shape[0], num_positions, FRAMES_PER_POSITION * padded_BTM.shape[2])
        mask_BP = within(frames_B // FRAMES_PER_POSITION, num_positions)
        return {"input_features": stacked_BPM, "attention_mask": mask_BP.long()}


def _normalised(mels_BTM: torch.Tensor, mask_BT: torch.Tensor, frames_B: torch.Tensor) -> torch.Tensor:
    mask_BT1, count_B11 = mask_BT[..., None], frames_B[:, None, None]
    mean_B1M = (mels_BTM * mask_BT1).sum(dim=1, keepdim=True) / count_B11.clamp(min=1)
    centred_BTM = (mels_BTM - mean_B1M) * mask_BT1
    variance_B1M = centred_BTM.square().sum(dim=1, keepdim=True) / (count_B11 - 1).clamp(min=1)
    return centred_BTM / torch.sqrt(variance_B1M + BINS_EPSILON)


def _frame_transform() -> np.ndarray:
    """Return the samples of a frame -> the real and then the imaginary parts of its spectrum, as a matrix [2K, F]."""
    frame_FF = np.eye(FRAME_SAMPLES)
    frame_FF -= frame_FF.mean(axis=0, keepdims=True)
    emphasised_FF = frame_FF.copy()
    emphasised_FF[1:] -= PREEMPHASIS * frame_FF[:-1]
    emphasised_FF[0] *= 1 - PREEMPHASIS
    window_F = window_function(FRAME_SAMPLES, "povey", periodic=False)
    spectrum_KF = np.fft.rfft(window_F[:, None] * emphasised_FF, n=FFT_SAMPLES, axis=0)
    return np.concatenate([spectrum_KF.real, spectrum_KF.imag])


def _mel_filters(num_mel_bins: int) -> np.ndarray:
    filters_KM: np.ndarray = mel_filter_bank(
        num_frequency_bins=FFT_SAMPLES // 2 + 1,
        num_mel_filters=num_mel_bins,
        min_frequency=20,
        max_frequency=SAMPLE_RATE_HZ // 2,
        sampling_rate=SAMPLE_RATE_HZ,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return filters_KM


def extractor_of(settings: FeatureSettings) -> Samples | FilterBanks:
    """Return what computes the features."""
    return Samples(settings) if isinstance(settings, SampleSettings) else FilterBanks(settings)
