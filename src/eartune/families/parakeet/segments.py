"""Decoded tokens with their frames -> segments with times, cut at pauses and at ends of sentences."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from eartune.families.parakeet.greedy import Decoded
from eartune.long_form import parts_at_pauses
from eartune.manifest import Segment
from eartune.nemo.base import POSITION_S


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
