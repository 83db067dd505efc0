"""Attention in parts against torch's own, and when it is used."""

import pytest
import torch
from torch import nn

from eartune.families.whisper import encoder as encoder_module
from eartune.families.whisper.encoder import attention


def tensors(queries: int, keys: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, count, 16) for count in (queries, keys, keys)]
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each call that was left to torch's own kernel."""
    calls: list[int] = []
    fused = encoder_module.sdpa_attention_forward

    def counted(*args: object, **kwargs: object) -> object:
        calls.append(1)
        return fused(*args, **kwargs)

    monkeypatch.setattr(encoder_module, "sdpa_attention_forward", counted)
    return calls


@pytest.mark.any_processor
@pytest.mark.parametrize("scaling", [1.0, 0.25, None])
def test_values_and_gradients_are_those_of_float64(scaling: float | None, in_parts: list[int]) -> None:
    parts, exact = tensors(20, 30, torch.bfloat16), tensors(20, 30, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = attention(nn.Module(), *parts, None, scaling=scaling)
    expected = nn.functional.scaled_dot_product_attention(*(t.double() for t in exact), scale=scaling)
    assert not in_parts
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.transpose(1, 2).double(), expected, atol=0.05, rtol=0.05)
    found.float().square().sum().backward()
    expected.square().sum().backward()
    for ours, theirs in zip(parts, exact, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        error = (ours.grad.double() - theirs.grad.double()).norm() / theirs.grad.double().norm()
        assert error < 0.03


FLOAT, BF16 = torch.float32, torch.bfloat16


@pytest.mark.parametrize(
    ("dtype", "count", "causal", "masked", "dropout", "grad"),
    [
        (FLOAT, 8, False, False, 0.0, True),
        (BF16, 1500, False, False, 0.0, True),
        (BF16, 8, True, False, 0.0, True),
        (BF16, 8, False, True, 0.0, True),
        (BF16, 8, False, False, 0.1, True),
        (BF16, 8, False, False, 0.0, False),
    ],
)
def test_everything_else_is_left_to_torch(
    dtype: torch.dtype, count: int, causal: bool, masked: bool, dropout: float, grad: bool, in_parts: list[int]
) -> None:
    module = nn.Module()
    module.is_causal = causal  # type: ignore[assignment]
    mask = torch.ones(2, 1, count, count, dtype=torch.bool) if masked else None
    with torch.set_grad_enabled(grad):
        attention(module, *tensors(count, count, dtype), mask, dropout=dropout, scaling=1.0)
    assert in_parts == [1]
