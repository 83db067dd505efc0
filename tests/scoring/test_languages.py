"""Corpora of several languages and scripts: what a word is, and the rate of each language, counted by hand."""

import json

import pytest

from eartune.scoring import ErrorCounts, by_language, score
from eartune.scoring.scores import ScoredUnit


@pytest.mark.parametrize(
    ("references", "languages", "unit"),
    [
        (["good morning", "доброе утро"], ["en", "ru"], "word"),
        (["我们去学校", "25年"], ["zh", "zh"], "character"),
        (["我们去学校"], [None], "character"),
        (["ខ្ញុំទៅផ្ទះ"], ["km"], "character"),
        (["我去 shopping mall"], ["zh"], "word and character"),
        (["我们去学校", "good morning"], ["zh", "en"], "word and character"),
        (["", "..."], ["zh", "en"], "word"),
    ],
)
def test_the_unit_of_a_corpus_is_said(references: list[str], languages: list[str | None], unit: ScoredUnit) -> None:
    scores = score(references, references, languages=languages)
    assert scores.unit == unit
    assert scores.to_json()["unit"] == unit


def test_each_language_has_its_own_rate_beside_that_of_all() -> None:
    scores = score(
        ["我们今天一起去学校上课吧好不好", "hello world", "доброе утро", ""],
        ["我们今天一起去学校上课吧好不好", "goodbye moon", "доброе утро", "да"],
        languages=["zh", "en", "ru", "ru"],
    )
    parts = by_language(scores)
    assert {name: (part.words.rate, part.unit) for name, part in parts.items()} == {
        "en": (1.0, "word"),
        "ru": (0.0, "word"),
        "zh": (0.0, "character"),
    }
    assert scores.words == ErrorCounts(substitutions=2, insertions=1, hits=15 + 2)
    in_json = json.loads(json.dumps(scores.to_json(), allow_nan=False))["by_language"]
    assert (in_json["en"]["wer"], in_json["zh"]["wer"], in_json["zh"]["words"]["reference_length"]) == (1.0, 0.0, 15)


def test_texts_without_a_language_are_told_apart_by_their_script() -> None:
    scores = score(["我们去", "good morning"], ["我门去", "good moaning"], languages=[None, None])
    rates = {name: part.words.rate for name, part in by_language(scores).items()}
    assert rates == {"unknown": 1 / 2, "unknown, without spaces": pytest.approx(1 / 3)}


def test_a_mixed_error_rate_counts_characters_and_words() -> None:
    scores = score(["我今天去 shopping mall"], ["我今天去 sopping mall"], languages=["zh"])
    assert scores.words == ErrorCounts(substitutions=1, hits=5)


def test_characters_are_words_as_written_too() -> None:
    scores = score(["我们去。"], ["我门去。"], languages=["zh"])
    assert scores.raw_words == ErrorCounts(substitutions=1, hits=3)


def test_no_rate_is_given_of_a_corpus_without_words() -> None:
    in_json = score(["", "[noise]", "..."], ["", "a b", "..."], languages=["en", "de", "en"]).to_json()
    assert in_json["no_speech"] == {"num_utterances": 3, "num_with_words": 1, "num_words": 2}
    assert {in_json[name] for name in ("wer", "cer", "raw_wer", "raw_cer")} == {None}
    assert {str(in_json[f"{name}_interval_95"]) for name in ("wer", "cer")} == {"None"}
    assert in_json["by_language"] == {}


def test_words_written_on_clips_without_speech_are_insertions() -> None:
    scores = score(["the cat sat down", ""], ["the cat sat down", "you"], languages=["en", "en"])
    assert scores.words == ErrorCounts(insertions=1, hits=4)
    assert scores.words.rate == 1 / 4


def test_intervals_are_those_of_resamples_with_words() -> None:
    """Of 3 clips with one word between them, many a resample has none; none of its 12 words is a rate then."""
    scores = score(["one", "", ""], ["one", "", " ".join(["you"] * 12)], languages=["en"] * 3)
    assert scores.wer_interval[0] == 0.0
    # at most two of three clips are the one with words that nobody said
    assert scores.wer_interval[1] == 24.0
