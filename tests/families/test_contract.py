"""What every family promises, on its tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from eartune.config.train_config import FAMILIES
from eartune.families.registry import family
from eartune.manifest import Utterance, read_manifest
from eartune.speech_model import IGNORED, DecodeOptions, SpeechModel
from eartune.training.batches import SpeechDataset, collate, to_inputs
from eartune.training.loss import token_loss

TINY = {"whisper": "tiny_model"}


@pytest.fixture(params=FAMILIES)
def speech(request: pytest.FixtureRequest) -> SpeechModel:
    door = family(request.param)
    path: Path = request.getfixturevalue(TINY[request.param])
    return door.load(door.find(str(path)), language="en")


@pytest.fixture
def utterances(tiny_speech: Path) -> tuple[Utterance, ...]:
    return read_manifest([tiny_speech]).utterances


def test_good_speech_has_no_findings(speech: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    assert speech.findings(utterances) == [None] * len(utterances)
    too_long = Utterance(audio=Path("x.wav"), text="x", duration_s=speech.max_duration_s + 1, language="en")
    assert speech.findings([too_long])[0]


def test_labels_pair_inputs_with_answers(speech: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    for utterance in utterances:
        labels = speech.labels(utterance)
        assert len(labels.decoder_input_ids) == len(labels.targets)
        assert any(target != IGNORED for target in labels.targets)


def test_a_batch_trains(speech: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    dataset = SpeechDataset(utterances, speech)
    batch = collate([dataset[index] for index in range(3)], pad_token_id=speech.pad_token_id())
    inputs = to_inputs(batch, speech)
    labels = inputs.pop("labels")
    loss = token_loss(speech.network(**inputs), labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in speech.network.parameters())


def test_padding_of_a_batch_does_not_change_the_loss(speech: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    """The loss of two clips together is that of each alone, weighted by tokens."""
    dataset = SpeechDataset(utterances, speech)
    pad = speech.pad_token_id()

    def summed(rows: list[int]) -> tuple[float, int]:
        inputs = to_inputs(collate([dataset[row] for row in rows], pad_token_id=pad), speech)
        labels = inputs.pop("labels")
        with torch.no_grad():
            return float(token_loss(speech.network(**inputs), labels, num_items_in_batch=1)), int((labels >= 0).sum())

    (first, _), (second, _), (both, _) = summed([0]), summed([5]), summed([0, 5])
    assert both == pytest.approx(first + second, rel=1e-4)


def test_decoding_gives_one_text_per_clip(speech: SpeechModel) -> None:
    clips = [np.zeros(16_000, dtype=np.float32), 0.1 * np.ones(8_000, dtype=np.float32)]
    texts = speech.transcribe_batch(clips, ["en", None], DecodeOptions(max_length=8))
    assert [type(text) for text in texts] == [str, str]


def test_blocks_name_what_is_there(speech: SpeechModel) -> None:
    names = [name for name, _ in speech.network.named_modules()]
    assert speech.blocks.encoder in names
    assert speech.blocks.decoder in names
    for target in speech.blocks.default_targets:
        assert any(name.endswith(f".{target}") for name in names)
    assert set(speech.blocks.forbidden_targets) <= set(names)


def test_a_saved_model_answers_the_same(speech: SpeechModel, tmp_path: Path) -> None:
    speech.network.eval()
    with torch.no_grad():
        expected = speech.network(**speech.probe_inputs()).logits
    speech.save(tmp_path)
    door = family(speech.family)
    again = door.load(door.find(str(tmp_path)), language="en")
    again.network.eval()
    with torch.no_grad():
        found = again.network(**again.probe_inputs()).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    clip = [0.1 * np.ones(16_000, dtype=np.float32)]
    options = DecodeOptions(max_length=8)
    assert again.transcribe_batch(clip, ["en"], options) == speech.transcribe_batch(clip, ["en"], options)
