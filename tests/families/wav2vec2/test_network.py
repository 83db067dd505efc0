"""Networks beside transformers' own, one clip at a time: a batch gives each clip what it has alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForCTC

from eartune.families.wav2vec2.network import inputs_of, logits
from eartune.model import DecodeOptions, Waveform, pad_waveforms
from eartune.ops.spec_augment import SpecAugment
from tests.families.wav2vec2.conftest import load

KINDS = ("group", "layer", "mms", "bert", "hubert", "shortened", "shortened bert")


def theirs(folder: Path, clip: Waveform) -> tuple[Any, dict[str, torch.Tensor]]:
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    network = AutoModelForCTC.from_pretrained(folder).eval()
    return network, dict(extractor(clip, sampling_rate=16_000, return_tensors="pt"))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_a_batch_are_those_of_each_clip_in_transformers(
    tiny_wav2vec2: dict[str, Path], clips: list[Waveform], kind: str
) -> None:
    model = load(tiny_wav2vec2[kind], language="en")
    samples = torch.tensor([len(clip) for clip in clips[:3]])
    with torch.no_grad():
        found, lengths = logits(model.network, model.features(pad_waveforms(clips[:3]), samples, 2.56))
        for row, clip in enumerate(clips[:3]):
            network, inputs = theirs(tiny_wav2vec2[kind], clip)
            expected = network(**inputs).logits[0]
            assert abs(len(expected) - int(lengths[row])) <= 1
            length = int(lengths[row])
            assert length == model.num_frames(len(clip) / 16_000)
            torch.testing.assert_close(found[row, :length], expected[:length], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_transformers(tiny_wav2vec2: dict[str, Path], clips: list[Waveform], kind: str) -> None:
    model = load(tiny_wav2vec2[kind], language="en")
    texts = ["check the oil", "it is cold", "hello"]
    tokens = model.labeler.tokens(texts)
    padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in tokens], batch_first=True)
    samples = torch.tensor([len(clip) for clip in clips[:3]])
    batch = model.features(pad_waveforms(clips[:3]), samples) | {
        "decoder_input_ids": padded,
        "target_lengths": torch.tensor([len(row) for row in tokens]),
    }
    found = model.summed_loss([batch])
    expected = 0.0
    for clip, row in zip(clips, tokens, strict=False):
        network, inputs = theirs(tiny_wav2vec2[kind], clip)
        network.config.ctc_loss_reduction = "sum"
        expected += float(network(**inputs, labels=torch.tensor([row])).loss)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_change_the_loss_in_training_only_through_augmentation(
    tiny_wav2vec2: dict[str, Path], clips: list[Waveform], kind: str
) -> None:
    model = load(tiny_wav2vec2[kind], language="en")
    model.network.train()
    for module in model.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "final_dropout"):
        if hasattr(model.network.config, name):
            setattr(model.network.config, name, 0.0)
    for layer in model.network.modules():
        if isinstance(getattr(layer, "dropout", None), float):
            layer.dropout = 0.0
    waveforms, samples = pad_waveforms(clips[:2]), torch.tensor([len(clip) for clip in clips[:2]])
    model.network.config.mask_time_prob = model.network.config.mask_feature_prob = 0.9
    plain = [logits(model.network, inputs_of(model.features(waveforms, samples)))[0] for _ in range(2)]
    torch.testing.assert_close(plain[0], plain[1])
    augment = SpecAugment(time_prob=0.5, time_length=4, feature_prob=0.2, feature_length=4)
    inputs = model.features(waveforms, samples, None, augment)
    assert inputs["mask_time_indices"].any()
    masked = logits(model.network, inputs_of(inputs))[0]
    assert (model.network.config.mask_time_prob, model.network.config.mask_feature_prob) == (0.5, 0.2)
    assert not torch.allclose(masked, plain[0], atol=1e-4)
    model.network.eval()
    unmasked = logits(model.network, inputs_of(model.features(waveforms, samples)))[0]
    torch.testing.assert_close(unmasked, plain[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("seconds", [0.03, 0.05, 0.1])
def test_masks_longer_than_a_clip_are_no_error(tiny_wav2vec2: dict[str, Path], seconds: float) -> None:
    """transformers' own masks raise ValueError for such clips."""
    model = load(tiny_wav2vec2["layer"])
    model.network.train()
    clip = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((1, round(16_000 * seconds)))).float()
    augment = SpecAugment(time_prob=0.9, time_length=10, feature_prob=0.0, feature_length=10)
    inputs = model.features(clip, torch.tensor([clip.shape[1]]), 0.32, augment)
    assert torch.isfinite(logits(model.network, inputs_of(inputs))[0]).all()


def test_a_batch_decodes_as_each_clip(tiny_wav2vec2: dict[str, Path], clips: list[Waveform]) -> None:
    for kind in KINDS:
        model = load(tiny_wav2vec2[kind], language="en")
        together = model.transcribe_batch(clips, [], DecodeOptions())
        assert together == [model.transcribe_batch([clip], [], DecodeOptions())[0] for clip in clips]


def test_silence_after_the_words_of_a_recording_moves_no_time(
    tiny_wav2vec2: dict[str, Path], clips: list[Waveform]
) -> None:
    model = load(tiny_wav2vec2["layer"])
    (segment,) = model.transcribe_long(clips[1], None)  # type: ignore[arg-type]
    assert segment.text == model.transcribe_batch([clips[1]], [], DecodeOptions())[0]
    assert " ".join(word.text for word in segment.words) == segment.text
    times = [time for word in segment.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert (segment.start_s, segment.end_s) == (times[0], times[-1])
