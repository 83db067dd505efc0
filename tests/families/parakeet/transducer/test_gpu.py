"""The transducer's loss on a GPU is that of the CPU; skipped where there is not one."""

from dataclasses import replace

import pytest
import torch

from tests.families.parakeet.transducer.paths import Problem, problem

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

FRAMES, TOKENS = [120, 63, 9, 1, 40], [70, 21, 0, 3, 39]


def on_gpu(given: Problem) -> Problem:
    return replace(
        given,
        encoder=given.encoder.detach().cuda().requires_grad_(),
        decoder=given.decoder.detach().cuda().requires_grad_(),
        head=given.head.cuda(),
        targets=given.targets.cuda(),
        frames=given.frames.cuda(),
        tokens=given.tokens.cuda(),
    )


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("durations", [None, (0, 1, 2, 3, 4), (0, 2, 5), (1, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_and_gradients_are_those_of_the_cpu(
    dtype: torch.dtype, durations: tuple[int, ...] | None, dropout: float
) -> None:
    on_cpu = problem(FRAMES, TOKENS, durations, dtype=dtype)
    expected = on_cpu.losses()
    possible = expected.isfinite()
    expected_grads = torch.autograd.grad(expected[possible].sum(), on_cpu.leaves())
    # before the head moves
    given = on_gpu(on_cpu)
    found = given.losses(dropout=dropout)
    grads = torch.autograd.grad(found[possible.cuda()].sum(), given.leaves())
    if dropout:
        assert torch.equal(found.isfinite().cpu(), possible)
        assert all(grad.isfinite().all() for grad in grads)
        return
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(found.cpu(), expected, atol=tolerance, rtol=tolerance)
    for one, other in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=tolerance, rtol=tolerance)


def test_under_autocast_the_value_is_near() -> None:
    on_cpu = problem(FRAMES, TOKENS, (0, 1, 2, 3, 4), dtype=torch.float32)
    expected = on_cpu.losses()
    given = on_gpu(on_cpu)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        found = given.losses()
    torch.testing.assert_close(found.cpu(), expected, atol=0, rtol=0.02)
    found.sum().backward()
    assert given.encoder.grad is not None
    assert given.encoder.grad.isfinite().all()
