"""The two passes over all nodes of a transducer: for their log-probabilities, and for the gradients.

B clips, T frames, S = U + 1 states of the text, H joint width, V tokens with the blank, D durations,
N nodes within the clips' lengths, C nodes of a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from eartune.families.parakeet.transducer.joint import Joint, Nodes

# elements of the logits that exist at a time: 64 MiB in float32
CHUNK_ELEMENTS = 2**24


@dataclass(frozen=True)
class Outputs:
    """Which of the head's outputs are meant: V tokens, one of them the blank, then D durations."""

    blank: int
    num_vocabulary: int
    num_durations: int


@dataclass(frozen=True)
class AtNodes:
    """A value for the blank, for the next target and for each duration, at each node."""

    blank_N: torch.Tensor
    token_N: torch.Tensor
    duration_ND: torch.Tensor

    def __getitem__(self, rows: slice | torch.Tensor) -> AtNodes:
        return AtNodes(self.blank_N[rows], self.token_N[rows], self.duration_ND[rows])


def log_probs(
    joint: Joint, outputs: Outputs, encoder_BTH: torch.Tensor, decoder_BSH: torch.Tensor, nodes: Nodes
) -> AtNodes:
    """Return the log-probabilities at each node, in float32."""
    encoder, decoder, weights = encoder_BTH.flatten(0, 1), decoder_BSH.flatten(0, 1), joint.weights()
    dtype = joint.precise_dtype
    blank_N, token_N = encoder.new_empty((2, len(nodes)), dtype=dtype)
    duration_ND = encoder.new_empty((len(nodes), outputs.num_durations), dtype=dtype)
    for rows in _chunks(nodes, outputs):
        part = nodes[rows]
        hidden_CH = joint.hidden(encoder[part.frame_N] + decoder[part.state_N], part)
        logits_CV = joint.logits(weights, hidden_CH, first=rows.start)
        log_probs_CV = logits_CV[:, : outputs.num_vocabulary].log_softmax(dim=-1, dtype=dtype)
        blank_N[rows] = log_probs_CV[:, outputs.blank]
        token_N[rows] = log_probs_CV.gather(1, part.target_N[:, None])[:, 0]
        if outputs.num_durations:
            duration_ND[rows] = logits_CV[:, outputs.num_vocabulary :].log_softmax(dim=-1, dtype=dtype)
    return AtNodes(blank_N, token_N, duration_ND)


def gradients(
    joint: Joint,
    outputs: Outputs,
    encoder_BTH: torch.Tensor,
    decoder_BSH: torch.Tensor,
    nodes: Nodes,
    steps: AtNodes,
    scale_N: torch.Tensor,
    *,
    needed: Sequence[bool],
) -> list[torch.Tensor | None]:
    """Return the gradients of the encoder's and decoder's states and of the head's parameters, None if not needed.

    `steps` says how likely each step is, `scale_N` the gradient of the loss that the node belongs to.
    """
    encoder, decoder, weights = encoder_BTH.flatten(0, 1), decoder_BSH.flatten(0, 1), joint.weights()
    dtype = joint.precise_dtype
    if joint.head_is_linear:
        # Less than this adds nothing to a sum of probabilities. A model that knows where words are leaves few nodes.
        matter = (steps.blank_N + steps.token_N > torch.finfo(dtype).eps).nonzero()[:, 0]
        nodes, steps, scale_N = nodes[matter], steps[matter], scale_N[matter]
    values = (encoder, decoder, *weights.values())
    sums = [torch.zeros_like(value, dtype=dtype) if need else None for value, need in zip(values, needed, strict=True)]
    encoder_sum, decoder_sum, *weight_sums = sums
    trained = [weight for weight in weights.values() if weight.requires_grad]
    trained_sums = [summed for summed in weight_sums if summed is not None]
    for rows in _chunks(nodes, outputs):
        part = nodes[rows]
        with torch.enable_grad():
            summed_CH = (encoder[part.frame_N] + decoder[part.state_N]).detach().requires_grad_()
            logits_CV = joint.logits(weights, joint.hidden(summed_CH, part), first=rows.start)
        grad_CV = _grad_logits(logits_CV.detach(), outputs, part.target_N, steps[rows], scale_N[rows], dtype)
        grad_CH, *grads = torch.autograd.grad(logits_CV, [summed_CH, *trained], grad_CV, allow_unused=True)
        for total, index in ((encoder_sum, part.frame_N), (decoder_sum, part.state_N)):
            if total is not None:
                total.index_add_(0, index, grad_CH.to(dtype))
        for total, grad in zip(trained_sums, grads, strict=True):
            if grad is not None:
                total += grad
    shapes = (encoder_BTH, decoder_BSH, *weights.values())
    return [None if total is None else total.view_as(value) for total, value in zip(sums, shapes, strict=True)]


def _chunks(nodes: Nodes, outputs: Outputs) -> Iterator[slice]:
    num_rows = max(1, CHUNK_ELEMENTS // (outputs.num_vocabulary + outputs.num_durations))
    for first in range(0, len(nodes), num_rows):
        yield slice(first, min(first + num_rows, len(nodes)))


def _grad_logits(
    logits_CV: torch.Tensor,
    outputs: Outputs,
    target_C: torch.Tensor,
    steps: AtNodes,
    scale_C: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return the gradients of -log P(text) with respect to the logits: probability * taken - step."""
    grad_CV = torch.zeros_like(logits_CV)
    taken_C1 = ((steps.blank_N + steps.token_N) * scale_C)[:, None]
    probs_CV = logits_CV[:, : outputs.num_vocabulary].softmax(dim=-1, dtype=dtype)
    # the two that are differences are rounded last
    blank_C1 = probs_CV[:, outputs.blank, None] * taken_C1 - (steps.blank_N * scale_C)[:, None]
    target_C1 = probs_CV.gather(1, target_C[:, None]) * taken_C1 - (steps.token_N * scale_C)[:, None]
    torch.mul(probs_CV, taken_C1, out=grad_CV[:, : outputs.num_vocabulary])
    grad_CV.scatter_(1, target_C[:, None], target_C1.to(grad_CV.dtype))
    grad_CV[:, outputs.blank, None] = blank_C1.to(grad_CV.dtype)
    if outputs.num_durations:
        probs_CD = logits_CV[:, outputs.num_vocabulary :].softmax(dim=-1, dtype=dtype)
        grad_CV[:, outputs.num_vocabulary :] = probs_CD * taken_C1 - steps.duration_ND * scale_C[:, None]
    return grad_CV
