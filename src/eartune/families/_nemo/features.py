"""Log-mel features of NeMo's models, computed in batch on the device of the waveforms.

Equal to NeMo's AudioToMelSpectrogramPreprocessor in evaluation (tested to 1e-4): no dither, each clip by itself.
B batch, S samples, T frames, F frequencies, M mel bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, WEIGHTS, NemoArchive
from eartune.ops.widths import within

SAMPLE_RATE_HZ = 16_000
# half of what all published models have; memory grows with the square of the number of frames
MIN_HOP_SAMPLES = 80
# of an encoder, 80 ms each: 40 s, the longest clip
MIN_POSITIONS = 500
# added to mel energies before the logarithm, and to deviations before they divide
LOG_GUARD = 2.0**-24
DEVIATION_GUARD = 1e-5
_TOLERANCE = 1e-5
# how NeMo's configurations say that features are left as they are
UNNORMALIZED = ("NA", None, False)


@dataclass(frozen=True)
class FeatureSettings:
    """Names and values of transformers' ParakeetFeatureExtractor, but for `normalize`; lengths in samples."""

    feature_size: int
    win_length: int = 400
    hop_length: int = 160
    n_fft: int = 512
    preemphasis: float = 0.97
    normalize: bool = True
    """whether each mel bin of a clip has mean 0 and deviation 1; not in models that stream"""


def feature_settings(archive: NemoArchive) -> FeatureSettings:
    """Read the archive's `preprocessor`. Raises InputError, by name, for features of another kind."""
    settings = archive.section("preprocessor")
    settings.require_class("AudioToMelSpectrogramPreprocessor")
    settings.require("sample_rate", SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
    settings.require("normalize", "per_feature", "per_feature", *UNNORMALIZED)
    settings.require("window", "hann", "hann")
    settings.require("frame_splicing", 1, 1)
    settings.require("log", True, True)
    settings.require("log_zero_guard_type", "add", "add")
    settings.require("log_zero_guard_value", LOG_GUARD, LOG_GUARD)
    settings.require("mag_power", 2.0, 2.0)
    settings.require("mel_norm", "slaney", "slaney")
    settings.require("lowfreq", 0, 0)
    settings.require("highfreq", None, None, SAMPLE_RATE_HZ // 2)
    settings.require("exact_pad", False, False)
    settings.require("n_window_size", None, None)
    settings.require("n_window_stride", None, None)
    settings.require("nb_augmentation_prob", 0.0, 0.0)
    # rounded down, as NeMo does
    window = int(settings.number("window_size", 0.02) * SAMPLE_RATE_HZ)
    hop = int(settings.number("window_stride", 0.01) * SAMPLE_RATE_HZ)
    num_mel_bins = settings.integer("features", 64, most=1000)
    n_fft = settings.get("n_fft", None)
    preemphasis = settings.get("preemph", 0.97)
    found = FeatureSettings(
        feature_size=num_mel_bins,
        win_length=window,
        hop_length=hop,
        n_fft=1 << max(0, window - 1).bit_length() if n_fft is None else settings.integer("n_fft", None),
        preemphasis=0.0 if preemphasis is None else settings.number("preemph", 0.97),
        normalize=settings.get("normalize", "per_feature") not in UNNORMALIZED,
    )
    settings.require_nothing_else(harmless=_HARMLESS)
    require_possible_lengths(found, where=f"{archive.path}: {CONFIG}: preprocessor", advice="save it again")
    return found


def require_possible_lengths(settings: FeatureSettings, *, where: str, advice: str) -> None:
    """Raise InputError, which begins with `where`, for windows that cannot be cut out of sound of 16 kHz."""
    if not MIN_HOP_SAMPLES <= settings.hop_length <= settings.win_length <= settings.n_fft <= SAMPLE_RATE_HZ:
        raise InputError(
            f"{where}: has impossible lengths (hop_length {settings.hop_length}, win_length {settings.win_length}, "
            f"n_fft {settings.n_fft}); {advice}"
        )


class LogMel(nn.Module):
    """Waveforms [B, S] (16 kHz, anything after each clip) and their `samples_B` -> features [B, T, M], mask [B, T].

    T is S over the hop, rounded down, and at least 1; the mask is true for a clip's own frames, and features are zero
    outside of it. What one clip gets does not depend on the others.
    """

    window: torch.Tensor
    mel_filters: torch.Tensor

    def __init__(self, settings: FeatureSettings) -> None:
        super().__init__()
        self.settings = settings
        filters_FM = mel_filter_bank(
            num_frequency_bins=1 + settings.n_fft // 2,
            num_mel_filters=settings.feature_size,
            min_frequency=0.0,
            max_frequency=SAMPLE_RATE_HZ / 2,
            sampling_rate=SAMPLE_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("window", torch.hann_window(settings.win_length, periodic=False), persistent=False)
        self.register_buffer("mel_filters", torch.from_numpy(filters_FM.T).float().contiguous(), persistent=False)

    @torch.no_grad()
    def forward(self, waveforms_BS: torch.Tensor, samples_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        settings = self.settings
        num_frames = max(1, waveforms_BS.shape[1] // settings.hop_length)
        mask_BT = within(samples_B // settings.hop_length, num_frames)
        sound_BS = waveforms_BS.float()
        before_BS = nn.functional.pad(sound_BS[:, :-1], (1, 0))
        sound_BS = (sound_BS - settings.preemphasis * before_BS) * within(samples_B, waveforms_BS.shape[1])
        with torch.autocast(sound_BS.device.type, enabled=False):
            spectrum_BFT = torch.stft(
                sound_BS, settings.n_fft, settings.hop_length, settings.win_length, self.window,
                center=True, pad_mode="constant", return_complex=True,
            )  # fmt: skip
            power_BFT = (spectrum_BFT[..., :num_frames].abs() ** 2).contiguous()
            log_BTM = torch.log(self.mel_filters @ power_BFT + LOG_GUARD).transpose(1, 2)
        mask_BT1 = mask_BT[..., None]
        if not settings.normalize:
            return log_BTM * mask_BT1, mask_BT
        frames_B11 = mask_BT1.sum(dim=1, keepdim=True)
        centred_BTM = (log_BTM - (log_BTM * mask_BT1).sum(dim=1, keepdim=True) / frames_B11.clamp_min(1)) * mask_BT1
        # a single frame has no deviation
        variance_B1M = (centred_BTM**2).sum(dim=1, keepdim=True) / (frames_B11 - 1).clamp_min(1)
        return centred_BTM / (variance_B1M.sqrt() + DEVIATION_GUARD), mask_BT


def require_same_features(weights: Mapping[str, torch.Tensor], settings: FeatureSettings, archive: NemoArchive) -> None:
    """Refuse an archive that carries another window or other mel filters than its configuration describes."""
    ours = LogMel(settings)
    for name, mine in {"window": ours.window, "fb": ours.mel_filters[None]}.items():
        theirs = weights.get(f"preprocessor.featurizer.{name}")
        same = theirs is None or (theirs.shape == mine.shape and torch.allclose(theirs.float(), mine, atol=_TOLERANCE))
        if not same:
            raise InputError(
                f"{archive.path}: {WEIGHTS}: preprocessor.featurizer.{name} is not what the settings say; "
                "tune this model with NeMo itself"
            )


# training only, or how NeMo computes
_HARMLESS = frozenset(
    {
        "dither", "pad_to", "pad_value", "max_duration", "nb_max_freq", "rng", "stft_conv", "stft_exact_pad",
        "use_grads", "use_torchaudio",
    }
)  # fmt: skip
