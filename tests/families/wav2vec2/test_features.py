"""Inputs of the encoders, beside transformers' own extractors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from eartune.families.wav2vec2.features import FilterBankSettings, SampleSettings, extractor_of
from eartune.model import Waveform, pad_waveforms
from tests.families.wav2vec2.conftest import load


def batch(clips: list[Waveform]) -> tuple[torch.Tensor, torch.Tensor]:
    return pad_waveforms(clips), torch.tensor([len(clip) for clip in clips])


@pytest.mark.parametrize("do_normalize", [True, False])
def test_samples_are_those_of_transformers(clips: list[Waveform], do_normalize: bool) -> None:
    theirs = Wav2Vec2FeatureExtractor(do_normalize=do_normalize, return_attention_mask=True)(
        clips, sampling_rate=16_000, padding=True, return_tensors="pt"
    )
    ours = extractor_of(SampleSettings(do_normalize))(*batch(clips))
    torch.testing.assert_close(ours["input_values"], theirs["input_values"], atol=1e-5, rtol=1e-5)
    assert ours["attention_mask"].tolist() == theirs["attention_mask"].tolist()


def test_filter_banks_are_those_of_transformers(clips: list[Waveform]) -> None:
    theirs = SeamlessM4TFeatureExtractor()(clips, sampling_rate=16_000, return_tensors="pt")
    ours = extractor_of(FilterBankSettings())(*batch(clips))
    mask = theirs["attention_mask"].bool()
    assert ours["attention_mask"].tolist() == mask.long().tolist()
    torch.testing.assert_close(ours["input_features"][mask], theirs["input_features"][mask], atol=2e-3, rtol=0)


def test_filter_banks_of_a_tone_beside_silence(clips: list[Waveform]) -> None:
    """Bands far below the loudest one, where single precision is least exact."""
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    tone[8_000:] = 1e-4 * clips[0][8_000:16_000]
    theirs = SeamlessM4TFeatureExtractor()(tone, sampling_rate=16_000, return_tensors="pt")
    ours = extractor_of(FilterBankSettings())(*batch([tone]))
    torch.testing.assert_close(ours["input_features"][0, :49], theirs["input_features"][0, :49], atol=0.1, rtol=0)


@pytest.mark.parametrize("kind", ["layer", "bert"])
def test_features_are_in_full_precision_in_a_run_in_bf16(
    tiny_wav2vec2: dict[str, Path], clips: list[Waveform], kind: str
) -> None:
    model = load(tiny_wav2vec2[kind])
    expected = model.features(*batch(clips))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.features(*batch(clips))
    for name, values in expected.items():
        assert torch.equal(found[name], values)


def test_what_follows_a_clip_does_not_change_it(clips: list[Waveform]) -> None:
    for settings in (SampleSettings(), FilterBankSettings()):
        extractor = extractor_of(settings)
        together = extractor(*batch(clips))
        name = next(key for key in together if key != "attention_mask")
        for row, clip in enumerate(clips[:3]):
            alone = extractor(*batch([clip]))
            length = int(alone["attention_mask"].sum())
            torch.testing.assert_close(together[name][row, :length], alone[name][0, :length], atol=1e-4, rtol=1e-4)
            assert int(together["attention_mask"][row].sum()) == length
