"""SpecAugment (arXiv 1904.08779): masks over time and frequency, on the device of the features.

B batch, M mel bins, T frames, K masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SpecAugment:
    """`*_prob` is the share of frames or bins that masks would cover without overlap (as in transformers)."""

    time_prob: float
    time_length: int
    feature_prob: float
    feature_length: int

    def __call__(self, features: torch.Tensor, *, share: float, time_axis: int) -> torch.Tensor:
        """Return features [B, M, T] or [B, T, M] with masks over the first `share` of the frames, where the speech is.
        Masked values are 0, the middle of Whisper's range and the mean of normalised features."""
        num_rows, total, num_bins = len(features), features.shape[time_axis], features.shape[3 - time_axis]
        time_BT = self.time_masks(num_rows, math.ceil(total * share), total, features.device)
        bins_BM = self.feature_masks(num_rows, num_bins, features.device)
        return features.masked_fill(time_BT.unsqueeze(3 - time_axis) | bins_BM.unsqueeze(time_axis), 0.0)

    def time_masks(self, num_rows: int, num_frames: int, total: int, device: torch.device) -> torch.Tensor:
        """Return masks [B, total] over the first `num_frames` frames, true where a frame is masked."""
        return _masks(num_rows, min(num_frames, total), total, self.time_prob, self.time_length, device)

    def feature_masks(self, num_rows: int, num_bins: int, device: torch.device) -> torch.Tensor:
        """Return masks [B, M] over mel bins, or other features."""
        return _masks(num_rows, num_bins, num_bins, self.feature_prob, self.feature_length, device)


def _masks(num_rows: int, reach: int, size: int, prob: float, length: int, device: torch.device) -> torch.Tensor:
    """Return [B, size]: true under K masks that begin at random within the first `reach` places."""
    expected = prob * reach / length
    # the fraction is rounded at random, once for all rows
    num_masks = int(expected + float(torch.rand(())))
    starts_BK1 = torch.rand(num_rows, num_masks, 1, device=device) * max(1, reach - length + 1)
    places_S = torch.arange(size, device=device)
    offsets = places_S - starts_BK1.floor()
    return ((offsets >= 0) & (offsets < length)).any(dim=1)
