"""SpecAugment (arXiv 1904.08779): stretches of time and frequency are masked, on the device of the features.

B batch, M mel bins, T frames, K masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from eartune.config.window import WindowSection


@dataclass(frozen=True)
class SpecAugment:
    """`*_prob` is the share of frames or bins that masks would cover if none met another (as in transformers)."""

    time_prob: float
    time_length: int
    feature_prob: float
    feature_length: int

    def __call__(self, features_BMT: torch.Tensor, num_frames: int) -> torch.Tensor:
        """Return features with masks over the first `num_frames` frames, where the speech is; masked is 0, the middle
        of Whisper's range."""
        num_rows, num_bins, total = features_BMT.shape
        device = features_BMT.device
        time_BT = _masks(num_rows, min(num_frames, total), total, self.time_prob, self.time_length, device)
        bins_BM = _masks(num_rows, num_bins, num_bins, self.feature_prob, self.feature_length, device)
        return features_BMT.masked_fill(time_BT[:, None, :] | bins_BM[:, :, None], 0.0)


def spec_augment(window: WindowSection) -> SpecAugment | None:
    """Return what the configuration asks for."""
    if not window.spec_augment:
        return None
    return SpecAugment(
        window.mask_time_prob, window.mask_time_length, window.mask_feature_prob, window.mask_feature_length
    )


def _masks(num_rows: int, reach: int, size: int, prob: float, length: int, device: torch.device) -> torch.Tensor:
    """Return [B, size]: true under K masks that begin anywhere in the first `reach` places."""
    expected = prob * reach / length
    # what is left of a whole number is drawn for all rows at once
    num_masks = int(expected + float(torch.rand(())))
    starts_BK1 = torch.rand(num_rows, num_masks, 1, device=device) * max(1, reach - length + 1)
    places_S = torch.arange(size, device=device)
    offsets = places_S - starts_BK1.floor()
    return ((offsets >= 0) & (offsets < length)).any(dim=1)
