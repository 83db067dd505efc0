"""Segments of decoded tokens: where they are cut, and their times."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from eartune.families.parakeet.greedy import segments_of
from eartune.families.parakeet.load import load
from eartune.families.registry import family
from eartune.manifest import Segment
from eartune.ops.ctc import TimedTokens


def decoded(tokenizer: PreTrainedTokenizerBase, *words: tuple[str, int]) -> TimedTokens:
    """Words that begin at frames, each of their tokens one frame after the other."""
    tokens: list[int] = []
    starts: list[int] = []
    for word, first in words:
        ids = tokenizer(word, add_special_tokens=False).input_ids
        tokens += ids
        starts += range(first, first + len(ids))
    return TimedTokens(tokens, starts, [1] * len(tokens))


def test_pauses_and_ends_of_sentences_end_segments(tiny_nemo: dict[str, Path]) -> None:
    tokenizer = load(family("parakeet").find(str(tiny_nemo["tdt"]))).tokenizer
    length = {
        word: len(tokenizer(word, add_special_tokens=False).input_ids) for word in ("check", "oil", "Why", "late.")
    }
    near, far = 2 + length["check"] + 3, 40
    after = far + length["late."] + 1
    found = segments_of(
        tokenizer,
        decoded(tokenizer, ("check", 2), ("oil", near), ("late.", far), ("Why", after)),
        start_s=10.0,
        end_s=20.0,
    )
    check, oil, late, why = (
        Segment(round(10 + 0.08 * first, 2), round(10 + 0.08 * (first + length[word]), 2), word)
        for word, first in (("check", 2), ("oil", near), ("late.", far), ("Why", after))
    )
    assert found == [
        Segment(10.16, oil.end_s, "check oil", words=(check, oil)),
        Segment(13.2, late.end_s, "late.", words=(late,)),
        Segment(why.start_s, why.end_s, "Why", words=(why,)),
    ]


def test_nothing_decoded_is_no_segment(tiny_nemo: dict[str, Path]) -> None:
    tokenizer = load(family("parakeet").find(str(tiny_nemo["ctc"]))).tokenizer
    assert segments_of(tokenizer, TimedTokens([], [], []), start_s=0.0, end_s=1.0) == []


def test_times_end_with_the_clip(tiny_nemo: dict[str, Path]) -> None:
    tokenizer = load(family("parakeet").find(str(tiny_nemo["ctc"]))).tokenizer
    (segment,) = segments_of(tokenizer, decoded(tokenizer, ("oil", 100)), start_s=0.0, end_s=1.0)
    assert (segment.start_s, segment.end_s) == (1.0, 1.0)
