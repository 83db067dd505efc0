"""The recursion over a lattice as one Triton kernel: a GPU otherwise waits for ten launches per diagonal.

N diagonals, B clips, S states of the text, K durations; what is stored where is said in `lattice`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]  # triton describes no types
def _sum_paths(  # type: ignore[no-untyped-def]
    leaving,
    alpha,
    num_diagonals,
    num_clips,
    num_states,
    step,
    of_duration,
    of_kind,
    of_clip,
    NUM_DURATIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Fill the diagonals after the first for one clip, each from those before it."""
    clip = tl.program_id(0)
    state = tl.arange(0, BLOCK)
    exists = state < num_states
    none = float("-inf")
    for diagonal in range(1, num_diagonals):
        largest = tl.full((BLOCK,), none, alpha.dtype.element_ty)
        total = tl.full((BLOCK,), 0.0, alpha.dtype.element_ty)
        for slot in tl.static_range(NUM_DURATIONS):
            for kind in tl.static_range(2):
                # a blank of no frames would come from this very diagonal
                if slot + kind < NUM_DURATIONS:
                    source = diagonal + slot + kind - NUM_DURATIONS
                    at = (diagonal + slot + kind) * step + slot * of_duration + kind * of_kind + clip * of_clip
                    score = tl.load(leaving + at + state + kind, mask=exists, other=none)
                    # before the first diagonal and the first state there is nothing
                    place = (source * num_clips + clip) * num_states + state + kind - 1
                    begins = exists & (place >= clip * num_states) & (state + kind >= 1)
                    arriving = score + tl.load(alpha + place, mask=begins, other=none)
                    larger = tl.maximum(largest, arriving)
                    pivot = tl.where(larger == none, 0.0, larger)
                    total = total * tl.exp(largest - pivot) + tl.exp(arriving - pivot)
                    largest = larger
        reached = largest > none
        value = tl.where(reached, largest + tl.log(tl.where(reached, total, 1.0)), none)
        tl.store(alpha + (diagonal * num_clips + clip) * num_states + state, value, mask=exists)
        # the next diagonal is read by other threads than wrote this one
        tl.debug_barrier()


def fill_diagonals(leaving: torch.Tensor, alpha_NBS: torch.Tensor) -> None:
    """Fill the diagonals after the first of `alpha_NBS` with sums over the arcs `leaving` [N + K, K, 2, B, S + 1]."""
    num_diagonals, num_clips, num_states = alpha_NBS.shape
    num_durations = leaving.shape[1]
    # One stage: nothing of the next diagonal may be read ahead.
    _sum_paths[(num_clips,)](
        leaving, alpha_NBS, num_diagonals, num_clips, num_states, *leaving.stride()[:4],
        NUM_DURATIONS=num_durations, BLOCK=triton.next_power_of_2(num_states), num_stages=1,
    )  # fmt: skip
