"""The joint network at the nodes of a transducer's lattice: head(dropout(activation(encoder + decoder))).

B clips, T frames, S = U + 1 states of the text, H joint width, V tokens with the blank, D durations,
N nodes within the clips' lengths, C nodes of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call


@dataclass(frozen=True)
class Nodes:
    """The nodes (t, u) with t < frames and u <= tokens, as indices into flattened dimensions."""

    node_N: torch.Tensor
    """of B * T * S"""
    frame_N: torch.Tensor
    """of B * T"""
    state_N: torch.Tensor
    """of B * S"""
    clip_N: torch.Tensor
    target_N: torch.Tensor
    """The token that comes next, 0 at the end of a text."""

    def __getitem__(self, rows: slice | torch.Tensor) -> Nodes:
        return Nodes(*(value[rows] for value in vars(self).values()))

    def __len__(self) -> int:
        return len(self.node_N)


def nodes_within(frames_B: torch.Tensor, targets_BU: torch.Tensor, tokens_B: torch.Tensor, *, num_frames: int) -> Nodes:
    """Return the nodes that lie within the clips' lengths, by clip, frame and state."""
    device, num_states = frames_B.device, targets_BU.shape[1] + 1
    frame, state = torch.arange(num_frames, device=device), torch.arange(num_states, device=device)
    within = (frame[:, None] < frames_B[:, None, None]) & (state <= tokens_B[:, None, None])
    node_N = within.flatten().nonzero()[:, 0]
    frame_N = node_N // num_states
    clip_N = frame_N // num_frames
    state_N = clip_N * num_states + node_N % num_states
    next_BS = nn.functional.pad(targets_BU.long().masked_fill(state[:-1] >= tokens_B[:, None], 0), (0, 1))
    return Nodes(node_N, frame_N, state_N, clip_N, next_BS.flatten()[state_N])


@dataclass(frozen=True)
class Joint:
    """The network's parts, and what is drawn in it: the same in each pass."""

    head: nn.Module
    activation: Callable[[torch.Tensor], torch.Tensor]
    dtype: torch.dtype
    """of the head's products"""
    seed: int
    """of what the head draws"""
    dropout: float
    frame_keys: torch.Tensor | None
    """random int32 [B * T, H]; with `state_keys` [B * S, H] they say what is dropped at a node"""
    state_keys: torch.Tensor | None

    @property
    def precise_dtype(self) -> torch.dtype:
        """The type of what is computed from the products."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def head_is_linear(self) -> bool:
        """Whether the head draws nothing and maps each node for itself."""
        return type(self.head) is nn.Linear and not self.head._forward_hooks

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the head's parameters in the type of its products, as leaves of their own."""
        return {
            name: parameter.detach().to(self.dtype).requires_grad_(parameter.requires_grad)
            for name, parameter in self.head.named_parameters()
        }

    def hidden(self, summed_CH: torch.Tensor, nodes: Nodes) -> torch.Tensor:
        """Return what the head is given [C, H], of the encoder's states plus the decoder's."""
        hidden_CH = self.activation(summed_CH)
        if self.frame_keys is not None and self.state_keys is not None:
            # Independent from node to node of a frame or a state: nothing need be drawn again, whatever is computed.
            drawn = self.frame_keys[nodes.frame_N] ^ self.state_keys[nodes.state_N]
            keeps = drawn >= round(self.dropout * 2**32) - 2**31
            hidden_CH = hidden_CH * keeps / (1 - self.dropout)
        return hidden_CH.to(self.dtype)

    def logits(self, weights: dict[str, torch.Tensor], hidden_CH: torch.Tensor, *, first: int) -> torch.Tensor:
        """Return the logits [C, V + D] of a chunk that begins with the node `first`."""
        with self._drawing(first, hidden_CH.device):
            logits: torch.Tensor = functional_call(self.head, weights, (hidden_CH,))
        return logits

    @contextmanager
    def _drawing(self, first: int, device: torch.device) -> Iterator[None]:
        """Let the head draw the same numbers each time the chunk is computed."""
        if self.head_is_linear:
            yield
            return
        on_cuda = device.type == "cuda"
        with torch.random.fork_rng(devices=[device] if on_cuda else []):
            generator = torch.cuda.default_generators[device.index] if on_cuda else torch.default_generator
            generator.manual_seed(self.seed + first)
            yield


def draw_keys(states_BTH: torch.Tensor, *, dropout: float) -> torch.Tensor | None:
    """Draw what decides over dropped elements [B * T, H]; None where nothing is dropped."""
    if dropout == 0:
        return None
    shape = states_BTH.flatten(0, 1).shape
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, device=states_BTH.device)
