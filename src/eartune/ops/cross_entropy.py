"""Cross-entropy of a linear head, without the table of all its logits.

N targets, V vocabulary, D width of the hidden states.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# elements of the logits that exist at a time: 128 MiB in float32
CHUNK_ELEMENTS = 2**25


def summed_cross_entropy(
    hidden_ND: torch.Tensor, weight_VD: torch.Tensor, targets_N: torch.Tensor, *, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Sum cross-entropy(hidden @ weight.T, targets) over the targets, in float32, a few rows of logits at a time.

    Gradients are computed along with the loss, while the logits exist (as in Liger-Kernel, arXiv 2410.10989).
    Under autocast the products are computed in its type.
    """
    device = hidden_ND.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_ND.dtype
    summed: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden_ND.to(dtype), weight_VD, targets_N, label_smoothing, torch.is_grad_enabled()
    )
    return summed


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: torch.Tensor,
        weight_VD: torch.Tensor,
        targets_N: torch.Tensor,
        smoothing: float,
        with_grad: bool,
    ) -> torch.Tensor:
        with_hidden, with_weight = (with_grad and needed for needed in ctx.needs_input_grad[:2])
        num_rows = max(1, CHUNK_ELEMENTS // weight_VD.shape[0])
        summed = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        grad_hidden_ND = torch.empty_like(hidden_ND) if with_hidden else None
        grad_weight_VD = torch.zeros_like(weight_VD) if with_weight else None
        with torch.autocast(hidden_ND.device.type, enabled=False):
            factor_VD = weight_VD.to(hidden_ND.dtype)
            for first in range(0, len(hidden_ND), num_rows):
                rows = slice(first, first + num_rows)
                hidden, targets = hidden_ND[rows], targets_N[rows, None]
                logits = (hidden @ factor_VD.T).float()
                log_total = logits.logsumexp(dim=1, keepdim=True)
                summed += (log_total - (1 - smoothing) * logits.gather(1, targets)).sum()
                if smoothing:
                    summed -= smoothing * logits.mean(dim=1).sum()
                if not (with_hidden or with_weight):
                    continue
                grad_logits = _grad_logits(logits, log_total, targets, smoothing).to(hidden.dtype)
                if grad_hidden_ND is not None:
                    grad_hidden_ND[rows] = grad_logits @ factor_VD
                if grad_weight_VD is not None:
                    grad_weight_VD += grad_logits.T @ hidden
        ctx.save_for_backward(grad_hidden_ND, grad_weight_VD)
        return summed

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor | None, ...]:
        (grad_summed,) = grads
        scaled = [None if grad is None else grad * grad_summed.to(grad.dtype) for grad in ctx.saved_tensors]
        return (*scaled, None, None, None)


def _grad_logits(
    logits: torch.Tensor, log_total: torch.Tensor, targets: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Turn logits into their gradients, in place."""
    grad = logits.sub_(log_total).exp_()
    if smoothing:
        grad -= smoothing / logits.shape[1]
    return grad.scatter_add_(1, targets, torch.full_like(targets, smoothing - 1, dtype=grad.dtype))


def module_cross_entropy(
    head: nn.Module, hidden_ND: torch.Tensor, targets_N: torch.Tensor, *, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Sum the cross-entropy of any head; one that is not plainly linear, such as with an adapter, takes all logits."""
    if type(head) is nn.Linear and getattr(head, "bias", None) is None:
        return summed_cross_entropy(hidden_ND, head.weight, targets_N, label_smoothing=label_smoothing)
    logits_NV = head(hidden_ND).float()
    return nn.functional.cross_entropy(logits_NV, targets_N, reduction="sum", label_smoothing=label_smoothing)
