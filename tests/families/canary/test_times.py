"""Times in Canary's texts: its own tokens of 80 ms, or made of segments."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from eartune.families.canary.load import load
from eartune.families.canary.model import CanaryModel
from eartune.families.canary.times import timed_text, times_problem
from eartune.families.registry import family
from eartune.manifest import Segment, Utterance

SYMBOLS = [f"<|{number}|>" for number in range(20)]


def row(text: str, *, duration_s: float = 1.6, segments: Sequence[Segment] = (), timestamp: str = "yes") -> Utterance:
    return Utterance(
        Path("a.wav"), text, duration_s, "en", source="t.jsonl:1", extra={"timestamp": timestamp},
        segments=tuple(segments),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_nemo: dict[str, Path]) -> CanaryModel:
    return load(family("canary").find(str(tiny_nemo["canary"])))


@pytest.mark.parametrize(
    "text",
    [
        "<|0|> good <|5|> <|6|> morning <|12|>",
        "<|0|>good<|5|><|5|>morning<|12|>",
        "<|0|> good morning <|0|>",
        "<|3|> good, <|5|> <|6|> morning! <|20|>",
        "",
    ],
)
def test_times_that_follow_one_another_are_learnt(text: str) -> None:
    assert times_problem(row(text), [*SYMBOLS, "<|20|>"]) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("good morning", "the text has no times"),
        ("<|6|> good <|5|>", "times decrease: <|5|> after <|6|>"),
        ("<|0|> good <|8|> <|6|> morning <|12|>", "times decrease: <|6|> after <|8|>"),
        ("<|0|> good <|5|> morning", "a word without times on both sides at 'morning'"),
        ("good <|5|>", "a word without times on both sides at 'good <|5|>'"),
        ("<|0|> good <|5|> morning <|12|>", "a word without times on both sides"),
        ("<|0|> <|5|>", "a word without times on both sides"),
        ("<|0|> good <|30|>", "time <|30|> is at 2.40 s (frames of 80 ms), and the clip ends at 1.60 s"),
        ("<|0|> good <|20|>", "no token for the time <|20|>; it has times up to <|19|> (1.52 s)"),
    ],
)
def test_other_times_are_named(text: str, what: str) -> None:
    assert what in (times_problem(row(text), SYMBOLS) or "")


def test_times_are_whole_tokens(model: CanaryModel) -> None:
    utterance = row("<|0|> check <|5|> <|6|> the oil <|12|>")
    assert model.findings([utterance]) == [None]
    (tokens,) = model.transcripts([utterance]).texts
    ids = model.tokenizer.get_vocab()
    times = [ids[f"<|{number}|>"] for number in (0, 5, 6, 12)]
    assert [token for token in tokens if token in times] == times
    assert "every character known" in (model.describe_texts([utterance]) or "")


def test_segments_become_times_where_the_row_asks_for_them(model: CanaryModel) -> None:
    segments = (Segment(0.0, 0.4, "check"), Segment(0.5, 1.0, "the oil"))
    asked, plain = (row("check the oil", segments=segments, timestamp=value) for value in ("yes", "no"))
    # 0.5 s is 6.25 frames, and 1.0 s 12.5
    assert timed_text(asked) == "<|0|> check <|5|> <|6|> the oil <|12|>"
    encoded = model.transcripts([asked, plain, row("<|0|> check <|5|> <|6|> the oil <|12|>"), row("check the oil")])
    assert encoded.texts[0] == encoded.texts[2]
    assert encoded.texts[1] == tuple(model.tokenizer("check the oil", add_special_tokens=False).input_ids)
    assert model.findings([asked, plain]) == [None, None]
    assert model.remarks([asked]) == []
    assert model.remarks([plain]) == ["1 row has times that are not trained, as timestamp is not yes: t.jsonl:1"]
