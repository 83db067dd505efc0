"""The loss against torch's, and against itself in pieces."""

from types import SimpleNamespace

import pytest
import torch

from eartune.speech_model import IGNORED
from eartune.training.loss import token_loss


def batch(rows: int = 4, tokens: int = 7, vocabulary: int = 50) -> tuple[SimpleNamespace, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, tokens, vocabulary, generator=generator)
    labels = torch.randint(0, vocabulary, (rows, tokens), generator=generator)
    labels[0, 3:] = IGNORED
    labels[2, :2] = IGNORED
    return SimpleNamespace(logits=logits), labels


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_torchs_mean_over_tokens(smoothing: float) -> None:
    outputs, labels = batch()
    expected = torch.nn.functional.cross_entropy(
        outputs.logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
    )
    torch.testing.assert_close(token_loss(outputs, labels, label_smoothing=smoothing), expected)


def test_accumulated_pieces_add_up_to_the_whole() -> None:
    outputs, labels = batch()
    count = (labels != IGNORED).sum()
    pieces = [
        token_loss(SimpleNamespace(logits=outputs.logits[rows]), labels[rows], num_items_in_batch=count)
        for rows in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(pieces), token_loss(outputs, labels))


def test_is_float32_for_bf16_logits() -> None:
    outputs, labels = batch()
    found = token_loss(SimpleNamespace(logits=outputs.logits.bfloat16()), labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, token_loss(outputs, labels), atol=0.02, rtol=0.02)
