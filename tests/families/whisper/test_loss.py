"""Whisper's loss: nothing in it waits for the device."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.masking_utils

from eartune.families.whisper.load import find, load


def test_positions_are_not_searched_for_several_sequences(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers asks the device for the answer, which waits for all that is queued (tests/training/test_gpu.py)."""

    def refuse(_: Any) -> None:
        raise AssertionError("searched")

    model = load(find(str(tiny_model)))
    features = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))
    tokens = torch.arange(24).view(2, 12)
    expected = model.network(input_features=features, decoder_input_ids=tokens).logits.flatten(0, 1)
    targets = torch.tensor([7, 8, 9])
    batch = {"input_features": features, "decoder_input_ids": tokens, "targets": targets}
    monkeypatch.setattr(transformers.masking_utils, "find_packed_sequence_indices", refuse)
    with pytest.raises(AssertionError, match="searched"):
        model.network(input_features=features, decoder_input_ids=tokens, use_cache=False)
    found = model.summed_loss([batch | {"target_positions": torch.tensor([2, 3, 20])}])
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(expected[[2, 3, 20]], targets, reduction="sum"))
