"""Log-mel features of NeMo's models, compared with transformers' extractor; with NeMo in judge/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ParakeetFeatureExtractor

from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.features import FeatureSettings, LogMel, feature_settings
from tests.tiny_nemo import write_tiny_nemo


def noise(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return clips of noise, with rubbish after the shorter ones."""
    waveforms_BS = 0.1 * torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(0))
    return waveforms_BS, torch.tensor(lengths)


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_features_are_those_of_transformers(num_mel_bins: int) -> None:
    waveforms_BS, samples_B = noise(16_000, 12_345, 24_001)
    clips = [row[:length].numpy() for row, length in zip(waveforms_BS, samples_B, strict=True)]
    extractor = ParakeetFeatureExtractor(feature_size=num_mel_bins)
    expected = extractor(clips, sampling_rate=16_000, return_tensors="pt")
    features_BTM, mask_BT = LogMel(FeatureSettings(num_mel_bins))(waveforms_BS, samples_B)
    assert features_BTM.shape == (3, 150, num_mel_bins)
    assert torch.equal(mask_BT, expected.attention_mask[:, :150])
    assert not expected.attention_mask[:, 150:].any()
    torch.testing.assert_close(features_BTM, expected.input_features[:, :150], rtol=0, atol=1e-4)


# of two or three frames that are nearly alike, the deviation is mostly rounding
@settings(max_examples=25)
@given(st.lists(st.integers(0, 159) | st.integers(3200, 20_000), min_size=1, max_size=4).filter(any))
def test_what_a_clip_gets_does_not_depend_on_the_others(lengths: list[int]) -> None:
    log_mel = LogMel(FeatureSettings(80))
    waveforms_BS, samples_B = noise(*lengths)
    features_BTM, mask_BT = log_mel(waveforms_BS, samples_B)
    for row, length in enumerate(lengths):
        frames = length // 160
        assert mask_BT[row].tolist() == [True] * frames + [False] * (mask_BT.shape[1] - frames)
        assert not features_BTM[row, frames:].any()
        if frames:
            alone_1TM, _ = log_mel(waveforms_BS[row : row + 1, :length], samples_B[row : row + 1])
            torch.testing.assert_close(features_BTM[row, :frames], alone_1TM[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("length", [1, 159, 160, 320])
def test_the_shortest_clips_have_finite_features(length: int) -> None:
    features_BTM, mask_BT = LogMel(FeatureSettings(80))(*noise(length))
    assert features_BTM.shape == (1, max(1, length // 160), 80)
    assert mask_BT.sum() == length // 160
    assert features_BTM.isfinite().all()


def test_silence_has_finite_features_and_half_precision_is_widened() -> None:
    log_mel = LogMel(FeatureSettings(80))
    assert log_mel(torch.zeros(1, 16_000), torch.tensor([16_000]))[0].isfinite().all()
    waveforms_BS, samples_B = noise(16_000)
    halved_BTM, _ = log_mel(waveforms_BS.bfloat16(), samples_B)
    assert halved_BTM.dtype == torch.float32
    expected_BTM, _ = log_mel(waveforms_BS, samples_B)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_mel(waveforms_BS, samples_B)[0], expected_BTM)


def test_settings_are_read_from_the_archive(tmp_path: Path) -> None:
    path = write_tiny_nemo(tmp_path / "a.nemo", "ctc", preprocessor__window_size=0.02, preprocessor__preemph=None)
    assert feature_settings(read_archive(path)) == FeatureSettings(80, win_length=320, preemphasis=0.0)
    path = write_tiny_nemo(tmp_path / "b.nemo", "ctc", preprocessor__n_fft=None)
    assert feature_settings(read_archive(path)) == FeatureSettings(80)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preprocessor___target_": "nemo.AudioToMFCCPreprocessor"}, "only AudioToMelSpectrogramPreprocessor"),
        ({"preprocessor__window_stride": 0.0}, "impossible lengths"),
        ({"preprocessor__n_fft": 64}, "impossible lengths"),
        ({"preprocessor__log": False}, "preprocessor.log is False"),
        ({"preprocessor__mag_power": 1.0}, r"preprocessor.mag_power is 1\.0"),
        ({"preprocessor__something": 1}, "preprocessor.something = 1 is not known here"),
    ],
)
def test_other_features_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_tiny_nemo(tmp_path / "model.nemo", "ctc", **changes)
    with pytest.raises(InputError, match=message):
        feature_settings(read_archive(path))
