"""The transducer's lattice: the probability of all paths, and of each of their steps.

A node (t, u) says that u tokens are written before frame t. From it a token leads to (t + d, u + 1), a blank to
(t + d, u) with d > 0; every path ends with a blank that reaches exactly (frames, tokens).
RNN-T is the case in which tokens last 0 frames and blanks 1; in TDT (arXiv 2304.06795) durations have probabilities.

B clips, T frames, E = T + 1 their edges, S = U + 1 states of the text, D durations, K = longest duration + 1.
Where a dimension of 2 stands, 0 is the token and 1 the blank. An arc is stored where it starts.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import nn

# what a token and a blank last in RNN-T, where durations are certain
RNNT_TOKEN, RNNT_BLANK = 0, 1


@dataclass(frozen=True)
class OnGrid:
    """A value for the blank, for the target that comes next and for each duration, at each node.

    What lies beyond a clip's frames and tokens is not read; D = 0 in RNN-T.
    """

    blank_BTS: torch.Tensor
    token_BTS: torch.Tensor
    duration_BTSD: torch.Tensor


@dataclass(frozen=True)
class Lattice:
    """Its sizes and the steps it knows."""

    durations: tuple[int, ...]
    """in frames; () is RNN-T"""
    frames_B: torch.Tensor
    tokens_B: torch.Tensor
    fast_emit: float = 0.0
    """the part by which steps that write a token are enlarged: lambda of arXiv 2010.11148"""

    def log_likelihoods(self, log_probs: OnGrid) -> torch.Tensor:
        """Return log P(text) of each clip [B], in float64; -inf where no path exists."""
        return self._at_end(_sum_paths(self._arcs(log_probs)))

    def likelihoods_and_steps(self, log_probs: OnGrid) -> tuple[torch.Tensor, OnGrid]:
        """Return log P(text) [B] and how likely each step is, given the text: the gradients of log P(text) with respect
        to `log_probs`. All in float64; 0 in clips that have no path.
        """
        arcs = self._arcs(log_probs)
        num_clips, num_durations, _, num_edges, num_states = arcs.shape
        num_frames = num_edges - 1
        # the paths back from the end are those of the lattice turned round: both run as one batch
        both = _sum_paths(torch.cat([arcs, self._turned_round(arcs)]))
        log_likelihood_B = self._at_end(both[:, :num_clips])
        alpha_BTS = _by_edge(both[:, :num_clips])[:, :num_frames]
        beta_BES = self._beta(both[:, num_clips:], num_edges=num_frames + num_durations)
        # +inf where there is no path: exp(... - inf) = 0
        total_B = log_likelihood_B.masked_fill(log_likelihood_B == -torch.inf, torch.inf)
        start_BTS = alpha_BTS - total_B[:, None, None]

        def taken(duration: int, kind: int) -> torch.Tensor:
            end_BTS = beta_BES[:, duration : duration + num_frames, 1 - kind : 1 - kind + num_states]
            return (start_BTS + arcs[:, num_durations - 1 - duration, kind, :num_frames] + end_BTS).exp()

        durations = self.durations or (RNNT_TOKEN, RNNT_BLANK)
        token_BTSD = (1 + self.fast_emit) * torch.stack([taken(duration, 0) for duration in durations], dim=-1)
        blank_BTSD = torch.stack([taken(duration, 1) for duration in durations], dim=-1)
        duration_BTSD = (token_BTSD + blank_BTSD)[..., : len(self.durations)]
        return log_likelihood_B, OnGrid(blank_BTSD.sum(-1), token_BTSD.sum(-1), duration_BTSD)

    def _arcs(self, log_probs: OnGrid) -> torch.Tensor:
        """Return the log-probability of each arc [B, K, 2, E, S], longest duration first; -inf where there is none."""
        num_clips, num_frames, num_states = log_probs.blank_BTS.shape
        device = log_probs.blank_BTS.device
        longest = max(self.durations, default=RNNT_BLANK)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        arcs = torch.full(
            (num_clips, longest + 1, 2, num_frames + 1, num_states), -torch.inf, dtype=dtype, device=device
        )
        within = arcs[..., :num_frames, :]
        if not self.durations:
            within[:, longest - RNNT_TOKEN, 0] = log_probs.token_BTS
            within[:, longest - RNNT_BLANK, 1] = log_probs.blank_BTS
        for number, duration in enumerate(self.durations):
            of_duration = log_probs.duration_BTSD[..., number].to(dtype)
            within[:, longest - duration, 0] = log_probs.token_BTS + of_duration
            if duration > 0:
                within[:, longest - duration, 1] = log_probs.blank_BTS + of_duration
        state_S = torch.arange(num_states, device=device)
        end_KE = torch.arange(num_frames + 1, device=device) + torch.arange(longest, -1, -1, device=device)[:, None]
        # what is left of the clip after the arc, and of the text before it
        frames_left = (self.frames_B[:, None, None] - end_KE)[..., None]
        tokens_left = (self.tokens_B[:, None] - state_S)[:, None, None]
        exists_token = (frames_left > 0) & (tokens_left > 0)
        exists_blank = ((frames_left > 0) & (tokens_left >= 0)) | ((frames_left == 0) & (tokens_left == 0))
        return arcs.masked_fill_(~torch.stack([exists_token, exists_blank], dim=2), -torch.inf)

    def _turned_round(self, arcs: torch.Tensor) -> torch.Tensor:
        """Return the same arcs from their ends to their starts, in a lattice that begins at (frames, tokens)."""
        _, num_durations, _, num_edges, num_states = arcs.shape
        device = arcs.device
        time_E, state_S = torch.arange(num_edges, device=device), torch.arange(num_states, device=device)
        longest_first_K = torch.arange(num_durations - 1, -1, -1, device=device)
        # where the arc that now starts at (t, u) started: the clip's lengths less t, u and the arc's own steps
        time_BKE = self.frames_B[:, None, None] - time_E - longest_first_K[:, None]
        state_B2S = self.tokens_B[:, None, None] - state_S - (1 - torch.arange(2, device=device))[:, None]
        time, state = time_BKE[:, :, None, :, None], state_B2S[:, None, :, None, :]
        exists = (time >= 0) & (time < num_edges) & (state >= 0)
        flat = (time * num_states + state).masked_fill(~exists, 0)
        turned = arcs.flatten(3).gather(3, flat.flatten(3)).view_as(arcs)
        return turned.masked_fill(~exists, -torch.inf)

    def _at_end(self, alpha_NBS: torch.Tensor) -> torch.Tensor:
        clip_B = torch.arange(len(self.frames_B), device=alpha_NBS.device)
        return alpha_NBS[self.frames_B + self.tokens_B, clip_B, self.tokens_B]

    def _beta(self, turned_NBS: torch.Tensor, *, num_edges: int) -> torch.Tensor:
        """Return the log-probability of the end from each node [B, num_edges, S + 1]; -inf beyond a clip's own."""
        _, num_clips, num_states = turned_NBS.shape
        device = turned_NBS.device
        time = (self.frames_B[:, None] - torch.arange(num_edges, device=device))[:, :, None]
        state = (self.tokens_B[:, None] - torch.arange(num_states + 1, device=device))[:, None, :]
        exists = (time >= 0) & (state >= 0)
        clip = torch.arange(num_clips, device=device)[:, None, None]
        time, state = time.clamp(min=0), state.clamp(min=0)
        return turned_NBS[time + state, clip, state].masked_fill(~exists, -torch.inf)


def _sum_paths(arcs: torch.Tensor) -> torch.Tensor:
    """Return the log-probability [N, B, S] of reaching each node from (0, 0), by diagonals n = t + u."""
    num_clips, num_durations, _, num_edges, num_states = arcs.shape
    num_diagonals = num_edges + num_states - 1
    # padded by one more than is cut off: the row of each state begins one place later than the one before
    padded = nn.functional.pad(arcs.transpose(3, 4), (0, num_states), value=-torch.inf)
    skewed = padded.flatten(3)[..., : num_states * num_diagonals].reshape(*arcs.shape[:3], num_states, num_diagonals)
    # K diagonals and one state before the first: arcs that come from there do not exist
    leaving = arcs.new_full((num_diagonals + num_durations, num_durations, 2, num_clips, num_states + 1), -torch.inf)
    leaving[num_durations:, ..., 1:] = skewed.permute(4, 1, 2, 0, 3)
    alpha_NBS = arcs.new_full((num_diagonals, num_clips, num_states), -torch.inf)
    alpha_NBS[0, :, 0] = 0
    if arcs.is_cuda and can_compile_kernels():
        from eartune.families.parakeet.transducer.lattice_kernel import fill_diagonals  # noqa: PLC0415  it needs triton

        fill_diagonals(leaving, alpha_NBS)
    else:
        _fill_diagonals(leaving, alpha_NBS)
    return alpha_NBS


def _fill_diagonals(leaving: torch.Tensor, alpha_NBS: torch.Tensor) -> None:
    """Fill the diagonals after the first; `leaving` becomes the log-probability of reaching and taking each arc."""
    num_diagonals, num_clips, num_states = alpha_NBS.shape
    num_durations = leaving.shape[1]
    step, of_duration, of_kind, of_clip, _ = leaving.stride()
    window = (num_durations, 2, num_clips, num_states)
    strides = (step + of_duration, step + of_kind + 1, of_clip, 1)
    leaving[num_durations, ..., 1:] += alpha_NBS[0]
    for diagonal in range(1, num_diagonals):
        # from the token of K - 1 frames, K diagonals back, to the token of 0 frames and the blank of 1, one back
        torch.logsumexp(leaving.as_strided(window, strides, diagonal * step), dim=(0, 1), out=alpha_NBS[diagonal])
        leaving[diagonal + num_durations, ..., 1:] += alpha_NBS[diagonal]


def can_compile_kernels() -> bool:
    """Tell whether Triton is installed and finds the C compiler that it needs."""
    compilers = (os.environ.get("CC"), "gcc", "clang")
    return find_spec("triton") is not None and any(name and shutil.which(name) for name in compilers)


def _by_edge(alpha_NBS: torch.Tensor) -> torch.Tensor:
    """View diagonals as [B, E, S]."""
    num_diagonals, num_clips, num_states = alpha_NBS.shape
    step, of_clip, _ = alpha_NBS.stride()
    shape = (num_clips, num_diagonals - num_states + 1, num_states)
    return alpha_NBS.as_strided(shape, (of_clip, step, step + 1), alpha_NBS.storage_offset())
