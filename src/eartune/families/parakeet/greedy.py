"""Parakeet's greedy decoding of a batch: what NeMo's greedy_batch writes, with the frames of each token.

B clips, T frames, H joint width, V tokens with the blank, F frames looked at together, L layers of the predictor.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import count

import torch
from transformers import ParakeetForRNNT, PreTrainedTokenizerBase

from eartune.long_form import parts_at_pauses
from eartune.manifest import Segment
from eartune.nemo.base import POSITION_S

# Frames that an RNN-T looks at together for its next token: about as many as lie between two.
FRAMES_TOGETHER = 4


@dataclass(frozen=True)
class Decoded:
    """The tokens of a clip; each begins at a frame and lasts so many of them."""

    tokens: list[int]
    starts: list[int]
    durations: list[int]

    def without(self, unwanted: Collection[int]) -> Decoded:
        """Leave some tokens out."""
        kept = [number for number, token in enumerate(self.tokens) if token not in unwanted]
        return Decoded(*([values[number] for number in kept] for values in (self.tokens, self.starts, self.durations)))


def decode_ctc(logits_BTV: torch.Tensor, frames_B: torch.Tensor, *, blank: int) -> list[Decoded]:
    """Return each clip's likeliest tokens, repeats joined; a token lasts as long as it is repeated."""
    num_clips, num_frames, _ = logits_BTV.shape
    frames_B = frames_B.to(logits_BTV.device)
    within_BT = torch.arange(num_frames, device=logits_BTV.device) < frames_B[:, None]
    token_BT = logits_BTV.argmax(dim=-1).masked_fill(~within_BT, blank)
    begins_BT = torch.ones_like(within_BT)
    begins_BT[:, 1:] = token_BT[:, 1:] != token_BT[:, :-1]
    # of all runs, those of the blank among them: each lasts until the next one or the end of the clip
    clips, starts = begins_BT.nonzero(as_tuple=True)
    first = clips * num_frames + starts
    durations = torch.cat([first[1:], first.new_tensor([num_clips * num_frames])]) - first
    tokens = token_BT[begins_BT]
    runs = torch.stack([clips, tokens, starts, durations])
    return _by_clip(runs[:, tokens != blank], num_clips)


@torch.no_grad()
def decode_transducer(network: ParakeetForRNNT, encoder_BTH: torch.Tensor, frames_B: torch.Tensor) -> list[Decoded]:
    """Return each clip's tokens, by an RNN-T or a TDT network, of the encoder's states in the joint network's width.

    At most `network.max_symbols_per_step` tokens begin at a frame. In an RNN-T, which knows no durations, each lasts
    one frame, as NeMo says.
    """
    device, looks = encoder_BTH.device, steps_between_looks(encoder_BTH.device)
    states_NH = encoder_BTH.flatten(0, 1)
    reader = _Reader(network, states_NH, num_frames=encoder_BTH.shape[1])
    clip_B = torch.arange(len(encoder_BTH), device=device)
    clips = _Clips(clip_B, frames_B.to(device), torch.zeros_like(clip_B), torch.zeros_like(clip_B))
    predictor = _Predictor(network, torch.full_like(clip_B, network.config.blank_token_id))
    steps: list[torch.Tensor] = [clip_B.new_empty((5, 0))]
    for step in count():
        if step % looks == 0:
            staying_B = clips.time_B < clips.frames_B
            num_staying = int(staying_B.sum())
            if num_staying == 0:
                break
            if num_staying < len(staying_B):
                clips = clips.select(staying_B)
                predictor.select(staying_B)
        found = reader.read(clips, predictor.output_B1H)
        steps.append(torch.stack([clips.clip_B, found.token_B, found.start_B, found.lasts_B, found.writes_B.long()]))
        # where looking costs nothing, a step that writes nothing spares the predictor
        if looks > 1 or found.writes_B.any():
            predictor.update(found.token_B, found.writes_B)
        clips = clips.move_on(found, max_symbols=network.max_symbols_per_step)
    written = torch.cat(steps, dim=1)
    return _by_clip(written[:4, written[4] == 1], len(encoder_BTH))


def steps_between_looks(device: torch.device) -> int:
    """Return how often to look for clips that have ended: on an accelerator each look waits for all that is queued."""
    return 1 if device.type == "cpu" else 8


@dataclass(frozen=True)
class _Found:
    """What the next frames say: the first token among them, if any, and how far to move on."""

    writes_B: torch.Tensor
    token_B: torch.Tensor
    start_B: torch.Tensor
    moves_B: torch.Tensor
    lasts_B: torch.Tensor


@dataclass(frozen=True)
class _Clips:
    """Of the clips that have not ended: which they are, how long, where they stand, how many tokens began there."""

    clip_B: torch.Tensor
    frames_B: torch.Tensor
    time_B: torch.Tensor
    symbols_B: torch.Tensor

    def select(self, staying_B: torch.Tensor) -> _Clips:
        return _Clips(*(value[staying_B] for value in vars(self).values()))

    def move_on(self, found: _Found, *, max_symbols: int) -> _Clips:
        stays_B = found.moves_B == 0
        symbols_B = torch.where(found.start_B == self.time_B, self.symbols_B, 0) + 1
        full_B = stays_B & (symbols_B >= max_symbols)
        time_B = found.start_B + found.moves_B + full_B
        return replace(self, time_B=time_B, symbols_B=symbols_B.masked_fill(full_B | ~stays_B, 0))


class _Reader:
    """The joint network at the frames where clips stand."""

    def __init__(self, network: ParakeetForRNNT, states_NH: torch.Tensor, *, num_frames: int) -> None:
        self._network, self._states_NH, self._num_frames = network, states_NH, num_frames
        durations = getattr(network.config, "durations", ())
        self._durations_D = torch.tensor(durations, dtype=torch.long, device=states_NH.device)
        # a TDT moves on as far as it says
        self._ahead_F = torch.arange(1 if durations else FRAMES_TOGETHER, device=states_NH.device)

    def read(self, clips: _Clips, predicted_B1H: torch.Tensor) -> _Found:
        config = self._network.config
        time_BF = clips.time_B[:, None] + self._ahead_F
        row_BF = clips.clip_B[:, None] * self._num_frames + time_BF.clamp(max=self._num_frames - 1)
        logits_BFV = self._network.joint(
            decoder_hidden_states=predicted_B1H, encoder_hidden_states=self._states_NH[row_BF]
        )
        token_BF = logits_BFV[..., : config.vocab_size].argmax(dim=-1)
        writes_BF = (token_BF != config.blank_token_id) & (time_BF < clips.frames_B[:, None])
        writes_B = writes_BF.any(dim=-1)
        # the first that writes; where none does, the first
        first_B1 = writes_BF.int().argmax(dim=-1, keepdim=True)
        token_B, start_B = token_BF.gather(1, first_B1)[:, 0], time_BF.gather(1, first_B1)[:, 0]
        if len(self._durations_D) == 0:
            moves_B = (~writes_B).long() * len(self._ahead_F)
            return _Found(writes_B, token_B, start_B, moves_B, torch.ones_like(moves_B))
        moves_B = self._durations_D[logits_BFV[:, 0, config.vocab_size :].argmax(dim=-1)]
        moves_B = torch.where(writes_B, moves_B, moves_B.clamp(min=1))
        return _Found(writes_B, token_B, start_B, moves_B, moves_B)


class _Predictor:
    """The prediction network after each clip's last token."""

    def __init__(self, network: ParakeetForRNNT, blank_B: torch.Tensor) -> None:
        self._decoder = network.decoder
        self.output_B1H, self._memory = self._run(blank_B, None)

    def _run(
        self, token_B: torch.Tensor, memory: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        output_B1H, memory = self._decoder.lstm(self._decoder.embedding(token_B[:, None]), memory)
        return self._decoder.decoder_projector(output_B1H), memory

    def update(self, token_B: torch.Tensor, writes_B: torch.Tensor) -> None:
        output_B1H, memory = self._run(token_B, self._memory)
        self.output_B1H = torch.where(writes_B[:, None, None], output_B1H, self.output_B1H)
        hidden, cell = (torch.where(writes_B[:, None], new, old) for new, old in zip(memory, self._memory, strict=True))
        self._memory = (hidden, cell)

    def select(self, staying_B: torch.Tensor) -> None:
        self.output_B1H = self.output_B1H[staying_B]
        hidden, cell = (value[:, staying_B] for value in self._memory)
        self._memory = (hidden, cell)


def _by_clip(written: torch.Tensor, num_clips: int) -> list[Decoded]:
    """Deal (clip, token, start, duration) [4, N], ordered within each clip, to the clips."""
    decoded = [Decoded([], [], []) for _ in range(num_clips)]
    for clip, token, start, duration in written.T.tolist():
        decoded[clip].tokens.append(token)
        decoded[clip].starts.append(start)
        decoded[clip].durations.append(duration)
    return decoded


def text_of(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    """Return the text of decoded tokens; two alike are two, which the hub's tokenizers otherwise take for one."""
    text: str = tokenizer.decode(tokens, skip_special_tokens=True, group_tokens=False)
    return text.strip()


def segments_of(tokenizer: PreTrainedTokenizerBase, decoded: Decoded, *, start_s: float, end_s: float) -> list[Segment]:
    """Return the segments of a clip that lies from `start_s` to `end_s` of its recording."""
    found = []
    ends = [start + max(1, lasts) for start, lasts in zip(decoded.starts, decoded.durations, strict=True)]
    pieces = tokenizer.convert_ids_to_tokens(decoded.tokens)
    for part in parts_at_pauses(pieces, decoded.starts, ends, frame_s=POSITION_S):
        text = text_of(tokenizer, decoded.tokens[part])
        begins_s, ends_s = (start_s + frame * POSITION_S for frame in (decoded.starts[part.start], ends[part.stop - 1]))
        if text:
            found.append(Segment(round(min(begins_s, end_s), 2), round(min(ends_s, end_s), 2), text))
    return found
