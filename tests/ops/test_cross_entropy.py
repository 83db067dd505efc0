"""The head's cross-entropy against torch's own over the whole table of logits."""

import pytest
import torch
from torch import nn

from eartune.ops import cross_entropy as loss_module
from eartune.ops.cross_entropy import module_cross_entropy, summed_cross_entropy

WIDTH, VOCABULARY, COUNT = 16, 101, 37


@pytest.fixture(autouse=True)
def few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows at a time: five whole pieces and a rest."""
    monkeypatch.setattr(loss_module, "CHUNK_ELEMENTS", 7 * VOCABULARY + 3)


def problem(*, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(COUNT, WIDTH, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, VOCABULARY, (COUNT,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_torch(smoothing: float) -> None:
    hidden, weight, targets = problem(dtype=torch.float64)
    hidden32, weight32, _ = problem()
    expected = nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum", label_smoothing=smoothing)
    (expected / COUNT).backward()
    found = summed_cross_entropy(hidden32, weight32, targets, label_smoothing=smoothing)
    (found / COUNT).backward()
    torch.testing.assert_close(found, expected.float(), atol=0, rtol=1e-5)
    for ours, theirs in ((hidden32, hidden), (weight32, weight)):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad.float(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_has_no_gradient_and_the_other_its_own(frozen: str) -> None:
    both = problem()
    one = problem()
    one[0 if frozen == "hidden" else 1].requires_grad_(False)
    for hidden, weight, targets in (both, one):
        summed_cross_entropy(hidden, weight, targets).backward()
    for ours, reference in zip(one[:2], both[:2], strict=True):
        assert ours.grad is None if not ours.requires_grad else torch.equal(ours.grad, reference.grad)  # type: ignore[arg-type]


def test_without_gradients_the_value_is_the_same() -> None:
    hidden, weight, targets = problem()
    with torch.no_grad():
        found = summed_cross_entropy(hidden, weight, targets)
    assert not found.requires_grad
    torch.testing.assert_close(found, summed_cross_entropy(hidden, weight, targets))


@pytest.mark.any_processor
def test_under_autocast_only_the_products_are_rounded() -> None:
    hidden, weight, targets = problem()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = summed_cross_entropy(hidden, weight, targets)
    logits = hidden.bfloat16() @ weight.bfloat16().T
    expected = nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0, rtol=1e-5)
    (found / COUNT).backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_gradients_pass_a_numerical_check() -> None:
    hidden, weight, targets = problem(dtype=torch.float64)
    whole = nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    summed_cross_entropy(hidden, weight, targets).mul(3.0).backward()
    expected_hidden, expected_weight = torch.autograd.grad(3.0 * whole, (hidden, weight))
    torch.testing.assert_close(hidden.grad, expected_hidden, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(weight.grad, expected_weight, atol=1e-5, rtol=1e-4)


def test_a_head_that_is_more_than_its_weights_is_called() -> None:
    hidden, weight, targets = problem()
    head = nn.Sequential(nn.Linear(WIDTH, VOCABULARY, bias=False))
    head[0].weight = nn.Parameter(weight.detach().clone())
    plain = module_cross_entropy(head[0], hidden, targets)
    torch.testing.assert_close(module_cross_entropy(head, hidden, targets), plain)
