"""Masks of time and frequency: how many, how long, where."""

import pytest
import torch

from eartune.ops.spec_augment import SpecAugment


def masked(augment: SpecAugment, *, rows: int = 200, frames: int = 400, reach: int = 300) -> torch.Tensor:
    torch.manual_seed(0)
    return augment(torch.ones(rows, 80, frames), share=reach / frames, time_axis=2) == 0


def test_masks_of_time_cover_whole_frames_of_the_speech() -> None:
    found = masked(SpecAugment(0.1, 10, 0.0, 10))
    assert not found[:, :, 300:].any()
    assert torch.equal(found, found[:, :1].expand_as(found))
    lengths = found[:, 0].sum(dim=1)
    # three masks of ten frames, some of which meet
    assert lengths.max() == 30
    assert 25 <= lengths.float().mean() <= 30


def test_masks_of_frequency_cover_whole_bins() -> None:
    found = masked(SpecAugment(0.0, 10, 0.25, 10))
    assert torch.equal(found, found[:, :, :1].expand_as(found))
    assert found[:, :, 0].sum(dim=1).max() == 20


def test_rows_are_masked_apart() -> None:
    found = masked(SpecAugment(0.1, 10, 0.1, 10))
    assert len({row.numpy().tobytes() for row in found}) > 190


@pytest.mark.parametrize("reach", [1, 5, 400])
def test_short_speech_has_its_share_of_masks(reach: int) -> None:
    augment = SpecAugment(0.05, 10, 0.0, 10)
    shares = [float(augment(torch.ones(1, 8, 400), share=reach / 400, time_axis=2).eq(0).any()) for _ in range(300)]
    assert abs(sum(shares) / 300 - min(1.0, 0.05 * reach / 10)) < 0.1


def test_time_may_be_the_first_axis_of_a_row() -> None:
    augment = SpecAugment(0.1, 10, 0.1, 10)
    torch.manual_seed(0)
    swapped = augment(torch.ones(20, 400, 80), share=0.75, time_axis=1)
    assert torch.equal(swapped.transpose(1, 2) == 0, masked(augment, rows=20))
