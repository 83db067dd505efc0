"""Log-mel features of Whisper, computed in batch on the device of the waveforms.

Equal to transformers' WhisperFeatureExtractor (tested to 1e-5), without computing the padding of the window.
B batch, S samples, T frames, F frequencies, M mel bins.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from eartune.audio import SAMPLE_RATE_HZ

FFT_SAMPLES = 400
HOP_SAMPLES = 160
WINDOW_S = 30.0
# The quietest value: log10 of the floor that the extractor clamps mel energies to.
SILENCE_LOG10 = -10.0
DYNAMIC_RANGE_LOG10 = 8.0


class LogMel(nn.Module):
    """Waveforms [B, S] (16 kHz, zeros after each clip) -> features [B, M, T], float32.

    T is 100 frames for each second of `window_s`, or more where the longest clip is longer.
    """

    window: torch.Tensor
    mel_filters: torch.Tensor

    def __init__(self, num_mel_bins: int) -> None:
        super().__init__()
        filters_FM = mel_filter_bank(
            num_frequency_bins=1 + FFT_SAMPLES // 2,
            num_mel_filters=num_mel_bins,
            min_frequency=0.0,
            max_frequency=SAMPLE_RATE_HZ / 2,
            sampling_rate=SAMPLE_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("window", torch.hann_window(FFT_SAMPLES), persistent=False)
        self.register_buffer("mel_filters", torch.from_numpy(filters_FM.T).float().contiguous(), persistent=False)

    @torch.no_grad()
    def forward(self, waveforms_BS: torch.Tensor, window_s: float = WINDOW_S) -> torch.Tensor:
        window_samples = round(window_s * SAMPLE_RATE_HZ / HOP_SAMPLES) * HOP_SAMPLES
        # Zeros after the clip keep the reflection padding of the STFT away from the speech.
        num_samples = waveforms_BS.shape[1] + 2 * FFT_SAMPLES
        if waveforms_BS.shape[1] <= window_samples:
            num_samples = min(num_samples, window_samples)
        num_samples = -(-num_samples // HOP_SAMPLES) * HOP_SAMPLES
        padded_BS = nn.functional.pad(waveforms_BS.float(), (0, num_samples - waveforms_BS.shape[1]))
        with torch.autocast(padded_BS.device.type, enabled=False):
            spectrum_BFT = torch.stft(
                padded_BS, FFT_SAMPLES, HOP_SAMPLES, window=self.window, return_complex=True, center=True
            )
            # contiguous: the product with a strided view is several times slower on some CPUs
            power_BFT = (spectrum_BFT[..., :-1].abs() ** 2).contiguous()
            log_BMT = torch.clamp(self.mel_filters @ power_BFT, min=10.0**SILENCE_LOG10).log10()
        loudest_B11 = log_BMT.amax(dim=(1, 2), keepdim=True).clamp_min(SILENCE_LOG10)
        missing_frames = max(0, window_samples // HOP_SAMPLES - log_BMT.shape[2])
        window_BMT = nn.functional.pad(log_BMT, (0, missing_frames), value=SILENCE_LOG10)
        return (torch.maximum(window_BMT, loudest_B11 - DYNAMIC_RANGE_LOG10) + 4.0) / 4.0
