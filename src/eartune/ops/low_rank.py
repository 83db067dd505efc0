"""LoRA and DoRA on a frozen matrix, as autograd functions that save less for backward than a chain of modules.

N rows (utterances x positions), I inputs, O outputs, R rank. W [O, I] is frozen; A [R, I], B [O, R] are trained.
"""

from __future__ import annotations

from typing import Any

import torch

# random bits per element of a dropout mask
MASK_BITS = 16
# largest dropout probability with that many bits
MAX_DROPOUT = 1 - 2**-MASK_BITS


def low_rank_linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    lora_a: torch.Tensor,
    lora_b: torch.Tensor,
    *,
    scale: float,
    dtype: torch.dtype,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return x W^T + bias + scale (x * mask) A^T B^T, [..., O], computed in `dtype` for inputs of any dtype."""
    y: torch.Tensor = _LowRankLinear.apply(x, _cast(x, dtype), weight, bias, lora_a, lora_b, scale, mask)  # type: ignore[no-untyped-call]
    return y


def rescale(y: torch.Tensor, magnitude: torch.Tensor, norm: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return bias + (magnitude / norm) (y - bias), in place in `y` [..., O]; `norm` gets no gradient."""
    scaled: torch.Tensor = _Rescale.apply(y, magnitude, norm, bias)  # type: ignore[no-untyped-call]
    return scaled


def _cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return `x` in `dtype`, outside the graph. The copy is cached on x: q, k and v read the same x and share it."""
    if x.dtype == dtype or x.is_inference():
        return x.detach().to(dtype)
    cached = getattr(x, "_eartune_cast", None)
    if cached is None or cached[0] != x._version or cached[1].dtype != dtype:
        cached = (x._version, x.detach().to(dtype))
        x._eartune_cast = cached  # type: ignore[attr-defined]
    cast: torch.Tensor = cached[1]
    return cast


class _LowRankLinear(torch.autograd.Function):
    """Saves x, the mask and the R columns of x A^T for backward, and recomputes the rest.

    `source` is the tensor that `x` was cast from, or `x` itself; it gets the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,  # torch leaves its context untyped
        source: torch.Tensor,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        lora_a: torch.Tensor,
        lora_b: torch.Tensor,
        scale: float,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        x_NI = x.reshape(-1, x.shape[-1])
        low_NR = _masked(x_NI, mask) @ lora_a.to(x.dtype).T
        # a tensor of its own, as the next operation may change it in place, which autograd forbids for views
        y = x.new_empty(*x.shape[:-1], len(weight))
        y_NO = y.view(-1, len(weight))
        if bias is None:
            torch.mm(x_NI, weight.to(x.dtype).T, out=y_NO)
        else:
            torch.addmm(bias.to(x.dtype), x_NI, weight.to(x.dtype).T, out=y_NO)
        y_NO.addmm_(low_NR, lora_b.to(x.dtype).T, alpha=scale)
        ctx.save_for_backward(x, weight, lora_a, lora_b, mask, low_NR)
        ctx.scale, ctx.source_dtype, ctx.bias_dtype = scale, source.dtype, None if bias is None else bias.dtype
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, lora_a, lora_b, mask, low_NR = ctx.saved_tensors
        needs_x, _, _, needs_bias, needs_a, needs_b, _, _ = ctx.needs_input_grad
        grad_NO = grad.reshape(-1, grad.shape[-1])
        grad_NR = (grad_NO @ lora_b.to(x.dtype)).mul_(ctx.scale)
        grad_x = grad_a = grad_b = grad_bias = None
        if needs_x:
            grad_NI = _masked(grad_NR @ lora_a.to(x.dtype), mask)
            grad_x = grad_NI.addmm_(grad_NO, weight.to(x.dtype)).view(x.shape).to(ctx.source_dtype)
        if needs_a:
            grad_a = (grad_NR.T @ _masked(x.reshape(-1, x.shape[-1]), mask)).to(lora_a.dtype)
        if needs_b:
            grad_b = (grad_NO.T @ low_NR).to(lora_b.dtype).mul_(ctx.scale)
        if needs_bias:
            grad_bias = grad_NO.sum(0).to(ctx.bias_dtype)
        return grad_x, None, None, grad_bias, grad_a, grad_b, None, None


def _masked(values_NI: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return values_NI if mask is None else values_NI * mask.view(values_NI.shape)


class _Rescale(torch.autograd.Function):
    """Saves its result for backward, which the next operation mostly saves too, and recovers y from it."""

    @staticmethod
    def forward(
        ctx: Any, y: torch.Tensor, magnitude: torch.Tensor, norm: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        # a factor near 1 would lose its small changes in bf16; its distance from 1 does not
        growth_O = (magnitude / norm - 1).to(y.dtype)
        y.addcmul_(y if bias is None else y - bias.to(y.dtype), growth_O)
        ctx.mark_dirty(y)
        ctx.save_for_backward(y, magnitude, bias, growth_O)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled, magnitude, bias, growth_O = ctx.saved_tensors
        _, needs_magnitude, _, needs_bias = ctx.needs_input_grad
        grad_magnitude = grad_bias = None
        rows = tuple(range(grad.dim() - 1))
        if needs_magnitude:
            beyond_bias = scaled if bias is None else scaled - bias.to(grad.dtype)
            grad_magnitude = (grad * beyond_bias).sum(rows, dtype=magnitude.dtype) / magnitude
        if needs_bias:
            grad_bias = -(grad * growth_O).sum(rows, dtype=bias.dtype)
        return torch.addcmul(grad, grad, growth_O), grad_magnitude, None, grad_bias


def squared_rows(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return ||W||^2 of each row, [O]."""
    return weight.to(dtype).square().sum(1)


def adapted_norm(
    weight: torch.Tensor, squares_O: torch.Tensor, lora_a: torch.Tensor, lora_b: torch.Tensor, scale: float
) -> torch.Tensor:
    """Return the norm of each row of W + scale B A, [O], without computing B A.

    ||W + s BA||^2 = ||W||^2 + 2 s <W, BA> + s^2 ||BA||^2 where <W, BA> = <W A^T, B> and ||BA||^2 = <B (A A^T), B>.
    """
    crossed_O = ((weight @ lora_a.to(weight.dtype).T).to(lora_b.dtype) * lora_b).sum(1)
    added_O = ((lora_b @ (lora_a @ lora_a.T)) * lora_b).sum(1)
    norm_O: torch.Tensor = (squares_O + 2 * scale * crossed_O + scale**2 * added_O).clamp_min_(0).sqrt_()
    return norm_O


def dropout_mask(shape: torch.Size, p: float, device: torch.device) -> torch.Tensor:
    """Return a mask of bytes: 0 with probability `p`, else 1."""
    if device.type != "cpu":
        return torch.empty(shape, dtype=torch.uint8, device=device).bernoulli_(1 - p)
    # on a CPU torch generates one random number per element in sequence, which takes longer than the masked product
    per_draw = 64 // MASK_BITS
    draws = torch.empty(-(-shape.numel() // per_draw), dtype=torch.int64).random_(-(2**63), None)
    threshold = round(p * 2**MASK_BITS) - 2 ** (MASK_BITS - 1)
    kept: torch.Tensor = draws.view(torch.int16)[: shape.numel()] >= threshold
    return kept.view(torch.uint8).view(shape)
