"""Alignment limits of a Parakeet's heads: numbers of tokens that CTC, RNN-T and TDT can align to encoder frames.

T frames of 80 ms, U tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from operator import or_

from transformers import ParakeetForCTC, ParakeetForRNNT


@dataclass(frozen=True)
class Heads:
    """The heads that the loss trains, and the limits on texts that they can align."""

    ctc_weight: float
    """the weight of CTC in the loss: 1 without a transducer, 0 without a CTC head"""
    durations: tuple[int, ...] = ()
    """of TDT's tokens and blanks, in frames; () for RNN-T and CTC"""
    max_tokens_per_frame: int | None = None
    """limit on the tokens that greedy decoding of a transducer emits in one frame"""

    @property
    def is_ctc(self) -> bool:
        """Whether CTC is the only head."""
        return self.ctc_weight >= 1

    def align(self, num_frames: int, num_tokens: int) -> bool:
        """Return whether the transducer has a path with `num_tokens`; an RNN-T has one for any number."""
        return num_frames > 0 and (not self.durations or tdt_aligns(num_frames, num_tokens, self.durations))


def heads_of(network: ParakeetForCTC | ParakeetForRNNT) -> Heads:
    """Return the heads of a network."""
    if isinstance(network, ParakeetForCTC):
        return Heads(ctc_weight=1.0)
    return Heads(
        ctc_weight=float(getattr(network.config, "aux_ctc_loss_weight", 0.0) or 0.0),
        durations=tuple(getattr(network.config, "durations", None) or ()),
        max_tokens_per_frame=getattr(network, "max_symbols_per_step", None),
    )


@cache
def tdt_aligns(num_frames: int, num_tokens: int, durations: tuple[int, ...]) -> bool:
    """Return whether U tokens and at least one blank can last exactly T frames; a blank lasts at least one frame.

    Only then is the loss finite: transducer/lattice.py has the same steps.
    """
    within = (1 << (num_frames + 1)) - 1
    # bit t: frame t can be reached
    reached = 1
    for _ in range(num_tokens):
        reached = reduce(or_, (reached << duration for duration in durations), 0) & within
        if not reached:
            return False
    blanks = [duration for duration in durations if duration > 0]
    ended = 0
    while reached := reduce(or_, (reached << duration for duration in blanks), 0) & within & ~ended:
        ended |= reached
    return bool(ended >> num_frames & 1)
