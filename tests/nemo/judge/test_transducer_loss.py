"""The transducer's loss, judged by NeMo's own."""

import pytest
import torch

from tests.families.parakeet.transducer.paths import BLANK, Problem, problem

pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from nemo.collections.asr.losses.rnnt import resolve_rnnt_loss
from nemo.core.classes import typecheck

pytestmark = pytest.mark.nemo

FRAMES, TOKENS = [11, 7, 4, 6], [4, 3, 1, 4]


def judge(name: str, given: Problem, **options: object) -> torch.Tensor:
    """Return NeMo's losses of each clip, from all logits in float32."""
    loss = resolve_rnnt_loss(name, blank_idx=BLANK, loss_kwargs=options)
    logits = given.logits().float()
    with typecheck.disable_checks():
        losses: torch.Tensor = loss(acts=logits, labels=given.targets, act_lens=given.frames, label_lens=given.tokens)
    return losses


def assert_same(given: Problem, found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected.double().view(-1), atol=1e-4, rtol=1e-5)
    ours = torch.autograd.grad(found.sum(), given.leaves())
    theirs = torch.autograd.grad(expected.sum(), given.leaves())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["pytorch", "warprnnt_numba"])
def test_rnnt(name: str) -> None:
    given = problem(FRAMES, TOKENS, None)
    assert_same(given, given.losses(), judge(name, given))


def test_fast_emit() -> None:
    given = problem(FRAMES, TOKENS, None)
    found, expected = given.losses(fast_emit=0.3), judge("warprnnt_numba", given, fastemit_lambda=0.3)
    ours = torch.autograd.grad(found.sum(), given.leaves())
    theirs = torch.autograd.grad(expected.sum(), given.leaves())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, 0.05])
@pytest.mark.parametrize("durations", [(0, 1, 2, 3, 4), (1, 2), (0, 1)], ids=str)
def test_tdt(durations: tuple[int, ...], sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # NeMo's reference asks for a GPU by name
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    given = problem(FRAMES, TOKENS, durations)
    expected = judge("tdt_pytorch", given, durations=list(durations), sigma=sigma)
    assert_same(given, given.losses(sigma=sigma), expected)
