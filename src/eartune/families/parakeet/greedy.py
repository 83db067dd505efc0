"""Parakeet's greedy decoding of a batch: the tokens of NeMo's greedy_batch, with their frames.

B clips, T frames, H joint width, V tokens with the blank, F frames evaluated together, L layers of the predictor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

import torch
from transformers import ParakeetForRNNT, PreTrainedTokenizerBase

from eartune.families._nemo.base import POSITION_S
from eartune.long_form import timed_segments
from eartune.manifest import Segment
from eartune.ops.ctc import TimedTokens, by_clip

# Frames that an RNN-T evaluates together for its next token: about as many as there are between two tokens.
FRAMES_TOGETHER = 4


@torch.no_grad()
def decode_transducer(network: ParakeetForRNNT, encoder_BTH: torch.Tensor, frames_B: torch.Tensor) -> list[TimedTokens]:
    """Return each clip's tokens from an RNN-T or TDT network and encoder states projected to the joint width.

    At most `network.max_symbols_per_step` tokens start at a frame. Tokens of an RNN-T, which has no durations, last
    one frame, as in NeMo.
    """
    device, interval = encoder_BTH.device, steps_between_checks(encoder_BTH.device)
    states_NH = encoder_BTH.flatten(0, 1)
    joint = _Joint(network, states_NH, num_frames=encoder_BTH.shape[1])
    clip_B = torch.arange(len(encoder_BTH), device=device)
    clips = _Clips(clip_B, frames_B.to(device), torch.zeros_like(clip_B), torch.zeros_like(clip_B))
    predictor = _Predictor(network, torch.full_like(clip_B, network.config.blank_token_id))
    steps: list[torch.Tensor] = [clip_B.new_empty((5, 0))]
    for step in count():
        if step % interval == 0:
            active_B = clips.time_B < clips.frames_B
            num_active = int(active_B.sum())
            if num_active == 0:
                break
            if num_active < len(active_B):
                clips = clips.select(active_B)
                predictor.select(active_B)
        found = joint.next_tokens(clips, predictor.output_B1H)
        steps.append(torch.stack([clips.clip_B, found.token_B, found.start_B, found.duration_B, found.emits_B.long()]))
        # without a token the predictor need not run; on an accelerator the check would cost more than the run
        if interval > 1 or found.emits_B.any():
            predictor.update(found.token_B, found.emits_B)
        clips = clips.advance(found, max_symbols=network.max_symbols_per_step)
    emitted = torch.cat(steps, dim=1)
    return by_clip(emitted[:4, emitted[4] == 1], len(encoder_BTH))


def steps_between_checks(device: torch.device) -> int:
    """Return the interval of checks for finished clips: on an accelerator each check synchronises with the device."""
    return 1 if device.type == "cpu" else 8


@dataclass(frozen=True)
class _Found:
    """The first token in the next frames, if any, with its start and duration, and the number of frames to skip."""

    emits_B: torch.Tensor
    token_B: torch.Tensor
    start_B: torch.Tensor
    skip_B: torch.Tensor
    duration_B: torch.Tensor


@dataclass(frozen=True)
class _Clips:
    """The unfinished clips: index, number of frames, current frame, and number of tokens that started there."""

    clip_B: torch.Tensor
    frames_B: torch.Tensor
    time_B: torch.Tensor
    symbols_B: torch.Tensor

    def select(self, active_B: torch.Tensor) -> _Clips:
        return _Clips(*(value[active_B] for value in vars(self).values()))

    def advance(self, found: _Found, *, max_symbols: int) -> _Clips:
        stays_B = found.skip_B == 0
        symbols_B = torch.where(found.start_B == self.time_B, self.symbols_B, 0) + 1
        full_B = stays_B & (symbols_B >= max_symbols)
        time_B = found.start_B + found.skip_B + full_B
        return replace(self, time_B=time_B, symbols_B=symbols_B.masked_fill(full_B | ~stays_B, 0))


class _Joint:
    """The joint network at the current frames of the clips."""

    def __init__(self, network: ParakeetForRNNT, states_NH: torch.Tensor, *, num_frames: int) -> None:
        self._network, self._states_NH, self._num_frames = network, states_NH, num_frames
        durations = getattr(network.config, "durations", ())
        self._durations_D = torch.tensor(durations, dtype=torch.long, device=states_NH.device)
        # a TDT predicts the number of frames to skip
        self._ahead_F = torch.arange(1 if durations else FRAMES_TOGETHER, device=states_NH.device)

    def next_tokens(self, clips: _Clips, predicted_B1H: torch.Tensor) -> _Found:
        config = self._network.config
        time_BF = clips.time_B[:, None] + self._ahead_F
        row_BF = clips.clip_B[:, None] * self._num_frames + time_BF.clamp(max=self._num_frames - 1)
        logits_BFV = self._network.joint(
            decoder_hidden_states=predicted_B1H, encoder_hidden_states=self._states_NH[row_BF]
        )
        token_BF = logits_BFV[..., : config.vocab_size].argmax(dim=-1)
        emits_BF = (token_BF != config.blank_token_id) & (time_BF < clips.frames_B[:, None])
        emits_B = emits_BF.any(dim=-1)
        # the first frame with a token, or the first frame
        first_B1 = emits_BF.int().argmax(dim=-1, keepdim=True)
        token_B, start_B = token_BF.gather(1, first_B1)[:, 0], time_BF.gather(1, first_B1)[:, 0]
        if len(self._durations_D) == 0:
            skip_B = (~emits_B).long() * len(self._ahead_F)
            return _Found(emits_B, token_B, start_B, skip_B, torch.ones_like(skip_B))
        skip_B = self._durations_D[logits_BFV[:, 0, config.vocab_size :].argmax(dim=-1)]
        skip_B = torch.where(emits_B, skip_B, skip_B.clamp(min=1))
        return _Found(emits_B, token_B, start_B, skip_B, skip_B)


class _Predictor:
    """The prediction network's output and LSTM state after each clip's last token."""

    def __init__(self, network: ParakeetForRNNT, blank_B: torch.Tensor) -> None:
        self._decoder = network.decoder
        self.output_B1H, self._memory = self._run(blank_B, None)

    def _run(
        self, token_B: torch.Tensor, memory: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        output_B1H, memory = self._decoder.lstm(self._decoder.embedding(token_B[:, None]), memory)
        return self._decoder.decoder_projector(output_B1H), memory

    def update(self, token_B: torch.Tensor, emits_B: torch.Tensor) -> None:
        output_B1H, memory = self._run(token_B, self._memory)
        self.output_B1H = torch.where(emits_B[:, None, None], output_B1H, self.output_B1H)
        hidden, cell = (torch.where(emits_B[:, None], new, old) for new, old in zip(memory, self._memory, strict=True))
        self._memory = (hidden, cell)

    def select(self, active_B: torch.Tensor) -> None:
        self.output_B1H = self.output_B1H[active_B]
        hidden, cell = (value[:, active_B] for value in self._memory)
        self._memory = (hidden, cell)


def text_of(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    """Return the text of decoded tokens; `group_tokens=False`, as the hub's tokenizers merge repeated tokens."""
    text: str = tokenizer.decode(tokens, skip_special_tokens=True, group_tokens=False)
    return text.strip()


def segments_of(
    tokenizer: PreTrainedTokenizerBase, decoded: TimedTokens, *, start_s: float, end_s: float
) -> list[Segment]:
    """Return the segments of a clip from `start_s` to `end_s` of its recording."""
    ends = [start + max(1, duration) for start, duration in zip(decoded.starts, decoded.durations, strict=True)]
    return timed_segments(
        tokenizer.convert_ids_to_tokens(decoded.tokens),
        decoded.starts,
        ends,
        Segment(start_s, end_s, ""),
        frame_s=POSITION_S,
        text_of=lambda part: text_of(tokenizer, decoded.tokens[part]),
    )
