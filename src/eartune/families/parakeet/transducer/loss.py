"""The loss of RNN-T and TDT networks, without the table of all their logits.

The logits are computed a piece at a time, twice: for the log-probabilities that the lattice needs, and, once it has
told how likely each step is, for the gradients.
B clips, T frames, U tokens, S = U + 1 states of the text, H joint width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from eartune.errors import InputError
from eartune.families.parakeet.transducer.joint import Joint, Nodes, draw_keys, nodes_within
from eartune.families.parakeet.transducer.lattice import Lattice, OnGrid
from eartune.families.parakeet.transducer.sweeps import AtNodes, Outputs, gradients, log_probs


def transducer_losses(
    encoder_BTH: torch.Tensor,
    decoder_BSH: torch.Tensor,
    head: nn.Module,
    targets_BU: torch.Tensor,
    frames_B: torch.Tensor,
    tokens_B: torch.Tensor,
    *,
    blank: int,
    num_vocabulary: int,
    durations: Sequence[int] | None,
    activation: Callable[[torch.Tensor], torch.Tensor] = torch.relu,
    dropout: float = 0.0,
    sigma: float = 0.0,
    fast_emit: float = 0.0,
) -> torch.Tensor:
    """Return -log P(targets) of each clip [B] in float32, or float64 if the states are; divided by no length.

    `head` maps H to the logits of `num_vocabulary` tokens, `blank` among them, and of the `durations` in frames (TDT,
    arXiv 2304.06795). Without durations the loss is RNN-T's (arXiv 1211.3711) over the tokens alone, whatever else
    the head returns: NeMo's `omega` asks for that in some batches of TDT.
    `activation` draws nothing; `dropout`, which follows it, is that of the joint network, 0 outside training.
    `sigma` is taken from the tokens' log-probabilities.
    `fast_emit` is lambda of arXiv 2010.11148: tokens' gradients and the value are enlarged by it, as in NeMo.
    A clip that no path fits, such as more tokens than its frames can hold, has the loss inf and no gradients.
    Under autocast the head's products are computed in its type. Raises InputError for durations that lead nowhere.
    """
    if durations is not None and not min(durations, default=0) >= 0 < max(durations, default=0):
        raise InputError(f"durations {list(durations)}: none may be negative, and one must be above 0")
    assert not getattr(activation, "_forward_hooks", None), "what hooks drop would differ between the passes"
    device = encoder_BTH.device
    autocast = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if autocast else encoder_BTH.dtype
    keys = [draw_keys(states, dropout=dropout) for states in (encoder_BTH, decoder_BSH)]
    # drawn on the CPU, where reading it waits for nothing
    joint = Joint(head, activation, dtype, int(torch.randint(2**48, ())), dropout, *keys)
    losses_B: torch.Tensor = _TransducerLoss.apply(  # type: ignore[no-untyped-call]
        joint,
        Outputs(blank, num_vocabulary, len(durations or ())),
        Lattice(tuple(durations or ()), frames_B.to(device), tokens_B.to(device), fast_emit),
        targets_BU.to(device),
        sigma,
        torch.is_grad_enabled(),
        encoder_BTH,
        decoder_BSH,
        *head.parameters(),
    )
    return losses_B


class _TransducerLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        joint: Joint,
        outputs: Outputs,
        lattice: Lattice,
        targets_BU: torch.Tensor,
        sigma: float,
        with_grad: bool,
        encoder_BTH: torch.Tensor,
        decoder_BSH: torch.Tensor,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        grid_BTS = (*encoder_BTH.shape[:2], decoder_BSH.shape[1])
        nodes = nodes_within(lattice.frames_B, targets_BU, lattice.tokens_B, num_frames=grid_BTS[1])
        with torch.autocast(encoder_BTH.device.type, enabled=False):
            found = log_probs(joint, outputs, encoder_BTH, decoder_BSH, nodes)
        scores = OnGrid(
            _on_grid(found.blank_N - sigma, nodes, grid_BTS),
            _on_grid(found.token_N - sigma, nodes, grid_BTS),
            _on_grid(found.duration_ND, nodes, grid_BTS),
        )
        if with_grad and any(ctx.needs_input_grad):
            log_likelihood_B, taken = lattice.likelihoods_and_steps(scores)
            steps = [value.flatten(0, 2)[nodes.node_N].to(joint.precise_dtype) for value in vars(taken).values()]
            ctx.joint, ctx.outputs, ctx.nodes = joint, outputs, nodes
            ctx.save_for_backward(encoder_BTH, decoder_BSH, *steps, *parameters)
        else:
            log_likelihood_B = lattice.log_likelihoods(scores)
        return (-(1 + lattice.fast_emit) * log_likelihood_B).to(joint.precise_dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor | None, ...]:
        (grad_B,) = grads
        encoder_BTH, decoder_BSH, blank_N, token_N, duration_ND, *parameters = ctx.saved_tensors
        with torch.autocast(encoder_BTH.device.type, enabled=False):
            found = gradients(
                ctx.joint,
                ctx.outputs,
                encoder_BTH,
                decoder_BSH,
                ctx.nodes,
                AtNodes(blank_N, token_N, duration_ND),
                grad_B[ctx.nodes.clip_N],
                needed=ctx.needs_input_grad[6:],
            )
        values = (encoder_BTH, decoder_BSH, *parameters)
        return (*[None] * 6, *[None if g is None else g.to(v.dtype) for g, v in zip(found, values, strict=True)])


def _on_grid(value_N: torch.Tensor, nodes: Nodes, grid_BTS: tuple[int, int, int]) -> torch.Tensor:
    """Spread values of the nodes, and what else they hold, over [B, T, S]."""
    num_cells, rest = math.prod(grid_BTS), value_N.shape[1:]
    spread = value_N.new_zeros((num_cells, *rest)).index_copy_(0, nodes.node_N, value_N)
    return spread.view(*grid_BTS, *rest)
