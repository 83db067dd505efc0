"""What error rates do not show is said, in one sentence each; nothing is said of plain texts."""

from collections.abc import Sequence

import pytest

from eartune.scoring import hypothesis_remarks, reference_remarks, score


def remarks(references: Sequence[str], hypotheses: Sequence[str], language: str | None = "en") -> list[str]:
    scores = score(references, hypotheses, languages=[language] * len(references))
    return [*reference_remarks(scores), *hypothesis_remarks(scores)]


def test_plain_texts_have_no_remarks() -> None:
    assert remarks(["Good morning!", "3 < 4"], ["good morning", "three"]) == []
    assert remarks(["我们去学校，好吗？"], ["我们去"], language=None) == []


def test_clips_on_which_nothing_was_written_are_counted() -> None:
    assert remarks(["good", "day", ""], ["good", " ", ""])[0] == "1 of 2 clips with speech have an empty hypothesis"


@pytest.mark.parametrize(
    ("reference", "hypothesis", "remark"),
    [
        (
            "good",
            "<|0.00|> good<|1.20|>",
            "1 of 1 hypotheses hold special symbols (<|0.00|>, <|1.20|>), dropped by the normaliser, "
            "so WER and CER do not count this",
        ),
        (
            "good day",
            "good <unk> ⁇",
            "1 of 1 hypotheses hold special symbols (<unk>, ⁇), dropped by the normaliser, "
            "so WER and CER do not count this",
        ),
        (
            "good",
            "good (applause)",
            "1 of 1 hypotheses hold text in brackets ((applause)), dropped by the normaliser, "
            "so WER and CER do not count this",
        ),
        ("<|en|> good", "good", "1 of 1 references hold special symbols (<|en|>), not scored"),
        ("good [noise]", "good", "1 of 1 references hold text in brackets ([noise]), not scored"),
    ],
)
def test_what_the_normaliser_drops_is_named(reference: str, hypothesis: str, remark: str) -> None:
    assert remarks([reference], [hypothesis]) == [remark]


def test_marks_are_counted_by_utterance_and_the_most_frequent_shown() -> None:
    marked = ["a [noise] [noise]", "b [noise] [laughs]", "c (coughs) <uh>", "d"]
    assert remarks(marked, ["a", "b", "c", "d"]) == [
        "3 of 4 references hold text in brackets ([noise], [laughs], <uh>, ...), not scored"
    ]


def test_long_text_in_brackets_is_cut() -> None:
    (remark,) = remarks([f"a (and {'very ' * 50}long)"], ["a"])
    assert len(remark) < 120


def test_clips_without_speech_are_counted_with_the_words_written_on_them() -> None:
    assert remarks(["one two", "", ""], ["one two", "", "thank you"]) == [
        "1 of 2 clips without speech have words in the hypothesis (2 words, counted as insertions)"
    ]


def test_a_corpus_without_words_has_no_error_rate() -> None:
    *marks, last = remarks(["", "[music]", "..."], ["", "thank you very much", "you"], language="de")
    assert last == (
        "the references hold no words, so there is no error rate; "
        "2 of 3 clips without speech have words in the hypothesis"
    )
    assert marks[-1] == "2 of 3 references hold no word ([music], ...), scored as no speech"


def test_units_that_are_added_up_are_named_with_the_rate_of_each_language() -> None:
    scores = score(["我们去学校", "hello world"], ["我们去学校", "goodbye moon"], languages=["zh", "en"])
    (remark,) = reference_remarks(scores)
    assert remark.endswith("(a mixed error rate, MER); by language: en 100.0 % per word, zh 0.0 % per character")


@pytest.mark.parametrize(
    ("text", "told"), [("twenty five", True), ("двадцать пять", True), ("नमस्ते", False), ("你好", False)]
)
def test_texts_that_name_no_language_are_told_where_it_matters(text: str, told: bool) -> None:
    assert any("have no language" in remark for remark in remarks([text], [text], language=None)) is told
