"""Whisper's loss: nothing in it waits for the device, and states of the encoder stand for features."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.masking_utils

from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> WhisperModel:
    return load(find(str(tiny_model)))


def random_batch(num_frames: int) -> dict[str, torch.Tensor]:
    """Return two windows of noise, and three of their tokens to predict."""
    return {
        "input_features": torch.randn(2, 80, num_frames, generator=torch.Generator().manual_seed(0)),
        "decoder_input_ids": torch.arange(24).view(2, 12),
        "targets": torch.tensor([7, 8, 9]),
        "target_positions": torch.tensor([2, 3, 20]),
    }


def test_positions_are_not_searched_for_several_sequences(model: WhisperModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers asks the device for the answer, which waits for all that is queued (tests/training/test_gpu.py)."""

    def refuse(_: Any) -> None:
        raise AssertionError("searched")

    batch = random_batch(3000)
    inputs = {name: batch[name] for name in ("input_features", "decoder_input_ids")}
    expected = model.network(**inputs).logits.flatten(0, 1)[batch["target_positions"]]
    monkeypatch.setattr(transformers.masking_utils, "find_packed_sequence_indices", refuse)
    with pytest.raises(AssertionError, match="searched"):
        model.network(**inputs, use_cache=False)
    found = model.summed_loss([batch])
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(expected, batch["targets"], reduction="sum"))


@pytest.mark.parametrize("num_frames", [320, 3000])
def test_states_of_the_encoder_stand_for_features(model: WhisperModel, num_frames: int) -> None:
    batch = random_batch(num_frames)
    with torch.no_grad():
        expected = model.summed_loss([batch])
        states_BPD = model.encode({"input_features": batch.pop("input_features")})
        found = model.summed_loss([{"encoder_states": states_BPD, **batch}])
    torch.testing.assert_close(found, expected, atol=0, rtol=1e-6)
