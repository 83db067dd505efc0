"""Greedy decoding of a batch with an encoder-decoder, from which finished rows are removed.

The tokens are those of transformers' generate, which keeps every row until the last one is finished.
B batch, P positions of the encoder, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import torch
from transformers import DynamicCache, EncoderDecoderCache

# Copying a row's cache takes about as long as decoding this many of its tokens. Finished rows are removed once they
# have idled for longer than copying the other rows takes.
COPY_IN_TOKENS = 3


class Scores(Protocol):
    """Returns the scores [B, V] of the token after `tokens_BU`, in float32, and appends to the cache."""

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

    `mask_BP` is true at the valid encoder positions of a row; None: at all of them.
    """
    device = states_BPD.device
    interval = tokens_between_checks(device)
    decoded_BU = torch.full((len(prompts_BU), max_length), end, device=device)
    idled = 0
    # the rows still in the batch: their indices, and whether they have ended
    rows_B = torch.arange(len(prompts_BU), device=device)
    ended_B = torch.zeros_like(rows_B, dtype=torch.bool)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    inputs_BU = prompts_BU
    for step in range(max_length):
        tokens_B = scores(inputs_BU, states_BPD, mask_BP, cache).argmax(dim=-1).masked_fill(ended_B, end)
        decoded_BU[rows_B, step] = tokens_B
        ended_B = tokens_B == end
        if (step + 1) % interval == 0:
            num_ended = int(ended_B.sum())
            if num_ended == len(ended_B):
                break
            idled += interval * num_ended
            if idled >= COPY_IN_TOKENS * (len(ended_B) - num_ended):
                idled = 0
                staying = (~ended_B).nonzero()[:, 0]
                cache.batch_select_indices(staying)
                states_BPD, rows_B = states_BPD[staying], rows_B[staying]
                mask_BP = None if mask_BP is None else mask_BP[staying]
                tokens_B, ended_B = tokens_B[staying], ended_B[staying]
        inputs_BU = tokens_B[:, None]
    return [row[: row.index(end)] if end in row else row for row in decoded_BU.tolist()]


def tokens_between_checks(device: torch.device) -> int:
    """Return the number of tokens between checks for ended rows: on an accelerator each waits for queued kernels."""
    return 1 if device.type == "cpu" else 4
