"""Greedy decoding of a batch by a decoder that attends to an encoder, in which rows that have ended leave.

The tokens are those of transformers' generate, which keeps every row until the last one has ended.
B batch, P positions of the encoder, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import torch
from transformers import DynamicCache, EncoderDecoderCache

# Copying a row's memory out of the batch takes about as long as so many tokens of it. Ended rows leave once they have
# idled for longer than the copy of the others takes.
COPY_IN_TOKENS = 3


class Scores(Protocol):
    """A decoder's scores [B, V] of the token after the last of `tokens_BU`, in float32; it adds to the cache."""

    def __call__(
        self,
        tokens_BU: torch.Tensor,
        states_BPD: torch.Tensor,
        mask_BP: torch.Tensor | None,
        cache: EncoderDecoderCache,
        /,
    ) -> torch.Tensor: ...


@torch.no_grad()
def decode_greedily(
    scores: Scores,
    states_BPD: torch.Tensor,
    prompts_BU: torch.Tensor,
    *,
    end: int,
    max_length: int,
    mask_BP: torch.Tensor | None = None,
) -> list[list[int]]:
    """Return the tokens that follow each prompt, at most `max_length` and without the token `end`.

    `mask_BP` is true where a row has positions; None: everywhere.
    """
    device = states_BPD.device
    looks = tokens_between_looks(device)
    written_BU = torch.full((len(prompts_BU), max_length), end, device=device)
    idled = 0
    # of the rows that are still in the batch: which they are, and whether they have ended
    rows_B = torch.arange(len(prompts_BU), device=device)
    ended_B = torch.zeros_like(rows_B, dtype=torch.bool)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    inputs_BU = prompts_BU
    for step in range(max_length):
        tokens_B = scores(inputs_BU, states_BPD, mask_BP, cache).argmax(dim=-1).masked_fill(ended_B, end)
        written_BU[rows_B, step] = tokens_B
        ended_B = tokens_B == end
        if (step + 1) % looks == 0:
            num_ended = int(ended_B.sum())
            if num_ended == len(ended_B):
                break
            idled += looks * num_ended
            if idled >= COPY_IN_TOKENS * (len(ended_B) - num_ended):
                idled = 0
                staying = (~ended_B).nonzero()[:, 0]
                cache.batch_select_indices(staying)
                states_BPD, rows_B = states_BPD[staying], rows_B[staying]
                mask_BP = None if mask_BP is None else mask_BP[staying]
                tokens_B, ended_B = tokens_B[staying], ended_B[staying]
        inputs_BU = tokens_B[:, None]
    return [row[: row.index(end)] if end in row else row for row in written_BU.tolist()]


def tokens_between_looks(device: torch.device) -> int:
    """Return how often to look for rows that have ended: on an accelerator each look waits for all that is queued."""
    return 1 if device.type == "cpu" else 4
