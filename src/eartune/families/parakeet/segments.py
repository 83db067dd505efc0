"""Decoded tokens with their frames -> segments with times, cut at pauses and at ends of sentences."""

from __future__ import annotations

import itertools

from transformers import PreTrainedTokenizerBase

from eartune.families.parakeet.greedy import Decoded
from eartune.nemo.speech import POSITION_S
from eartune.speech_model import Segment

# a pause between words that ends a segment
PAUSE_S = 0.8
# what SentencePiece writes where a word begins
WORD = "▁"
SENTENCE_ENDS = (".", "?", "!", "。", "؟", "।")


def text_of(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    """Return the text of decoded tokens; two alike are two, which the hub's tokenizers otherwise take for one."""
    text: str = tokenizer.decode(tokens, skip_special_tokens=True, group_tokens=False)
    return text.strip()


def segments_of(tokenizer: PreTrainedTokenizerBase, decoded: Decoded, *, start_s: float, end_s: float) -> list[Segment]:
    """Return the segments of a clip that lies from `start_s` to `end_s` of its recording."""
    found = []
    ends = [start + max(1, lasts) for start, lasts in zip(decoded.starts, decoded.durations, strict=True)]
    for part in _parts(tokenizer, decoded, ends):
        text = text_of(tokenizer, decoded.tokens[part])
        begins_s, ends_s = (start_s + frame * POSITION_S for frame in (decoded.starts[part.start], ends[part.stop - 1]))
        if text:
            found.append(Segment(round(min(begins_s, end_s), 2), round(min(ends_s, end_s), 2), text))
    return found


def _parts(tokenizer: PreTrainedTokenizerBase, decoded: Decoded, ends: list[int]) -> list[slice]:
    pieces = tokenizer.convert_ids_to_tokens(decoded.tokens)
    edges = [0]
    for number in range(1, len(pieces)):
        pause_s = (decoded.starts[number] - ends[number - 1]) * POSITION_S
        if pieces[number].startswith(WORD) and (pause_s >= PAUSE_S or pieces[number - 1].endswith(SENTENCE_ENDS)):
            edges.append(number)
    edges.append(len(pieces))
    return [slice(first, last) for first, last in itertools.pairwise(edges) if last > first]
