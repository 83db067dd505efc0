"""What heads can align, against the losses themselves: finite where there is a path."""

import itertools
import math

import pytest
import torch

from eartune.families.parakeet.heads import Heads, tdt_aligns
from eartune.ops.ctc import ctc_frames, repeats
from tests.families.parakeet.transducer.paths import problem


@pytest.mark.parametrize("durations", [(0, 1, 2, 3, 4), (1, 2), (0, 2), (2, 3), (0, 3, 4)], ids=str)
def test_a_tdt_aligns_where_its_loss_is_finite(durations: tuple[int, ...]) -> None:
    frames, tokens = zip(*itertools.product(range(1, 8), range(6)), strict=True)
    losses = problem(frames, tokens, durations).losses().tolist()
    for num_frames, num_tokens, loss in zip(frames, tokens, losses, strict=True):
        assert tdt_aligns(num_frames, num_tokens, durations) == math.isfinite(loss), (num_frames, num_tokens)


def test_an_rnnt_aligns_any_number_of_tokens() -> None:
    frames, tokens = (1, 1, 2, 3), (0, 7, 9, 2)
    assert problem(frames, tokens, None).losses().isfinite().all()
    heads = Heads(ctc_weight=0.0)
    assert all(map(heads.align, frames, tokens))
    assert not heads.align(0, 0)


def test_ctc_needs_a_frame_for_each_token_and_one_between_repeated_ones() -> None:
    log_probs_TBV = torch.zeros(4, 1, 4).log_softmax(-1)
    for num_tokens in range(5):
        for tokens in itertools.product(range(3), repeat=num_tokens):
            targets_BU = torch.tensor([tokens], dtype=torch.long)
            loss = torch.nn.functional.ctc_loss(log_probs_TBV, targets_BU, [4], [num_tokens], blank=3, reduction="sum")
            assert (ctc_frames(tokens) <= 4) == math.isfinite(loss), tokens
    assert repeats([1, 1, 1, 2, 2]) == 3
