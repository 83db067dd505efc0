"""Connectionist temporal classification: the loss, greedy decoding with times, and the frames that texts need.

B clips, T frames, U tokens, V tokens with the blank.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from eartune.ops.widths import within


@dataclass(frozen=True)
class TimedTokens:
    """The tokens of a clip, with the start and duration of each in frames."""

    tokens: list[int]
    starts: list[int]
    durations: list[int]

    def without(self, unwanted: Collection[int]) -> TimedTokens:
        """Return a copy without some tokens."""
        kept = [number for number, token in enumerate(self.tokens) if token not in unwanted]
        return TimedTokens(
            *([values[number] for number in kept] for values in (self.tokens, self.starts, self.durations))
        )


def ctc_loss(
    logits_BTV: torch.Tensor, frames_B: torch.Tensor, targets_BU: torch.Tensor, tokens_B: torch.Tensor, *, blank: int
) -> torch.Tensor:
    """Sum -log P(targets | logits) over clips, in float32; 0 for a clip with too few frames for its tokens."""
    log_probs_TBV = logits_BTV.float().log_softmax(dim=-1).transpose(0, 1)
    return nn.functional.ctc_loss(
        log_probs_TBV, targets_BU, frames_B, tokens_B, blank=blank, reduction="sum", zero_infinity=True
    )


def decode_ctc(logits_BTV: torch.Tensor, frames_B: torch.Tensor, *, blank: int) -> list[TimedTokens]:
    """Return each clip's most likely tokens, with repeats merged; a token lasts as long as it is repeated."""
    num_clips, num_frames, _ = logits_BTV.shape
    frames_B = frames_B.to(logits_BTV.device)
    within_BT = within(frames_B, num_frames)
    token_BT = logits_BTV.argmax(dim=-1).masked_fill(~within_BT, blank)
    begins_BT = torch.ones_like(within_BT)
    begins_BT[:, 1:] = token_BT[:, 1:] != token_BT[:, :-1]
    # all runs of equal tokens, blanks included: each lasts until the next run or the end of the clip
    clips, starts = begins_BT.nonzero(as_tuple=True)
    first = clips * num_frames + starts
    durations = torch.cat([first[1:], first.new_tensor([num_clips * num_frames])]) - first
    tokens = token_BT[begins_BT]
    runs = torch.stack([clips, tokens, starts, durations])
    return by_clip(runs[:, tokens != blank], num_clips)


def by_clip(emitted: torch.Tensor, num_clips: int) -> list[TimedTokens]:
    """Group (clip, token, start, duration) [4, N], ordered within each clip, by clip."""
    decoded = [TimedTokens([], [], []) for _ in range(num_clips)]
    for clip, token, start, duration in emitted.T.tolist():
        decoded[clip].tokens.append(token)
        decoded[clip].starts.append(start)
        decoded[clip].durations.append(duration)
    return decoded


def ctc_frames(tokens: Sequence[int]) -> int:
    """Return the number of frames CTC needs: one per token, and one for a blank between equal neighbours."""
    return len(tokens) + repeats(tokens)


def repeats(tokens: Sequence[int]) -> int:
    """Count the tokens that equal their predecessor."""
    return sum(first == second for first, second in itertools.pairwise(tokens))
