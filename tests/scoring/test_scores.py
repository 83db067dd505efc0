"""Error counts against hand counts and all alignments, intervals against all resamples written out."""

import json
from collections.abc import Sequence
from itertools import product

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eartune.errors import InputError
from eartune.scoring import (
    ErrorCounts,
    bootstrap_interval,
    count_char_errors,
    count_word_errors,
    differences,
    paired_bootstrap,
    score,
    summarize,
    total,
    worst,
)

words = st.lists(st.sampled_from(["a", "b", "ab", "да", "нет", "мой", "мои", "है", "東", "1"]), max_size=8)
whitespace = st.text(alphabet=" \t\n\u00a0\u2009\u202f\u3000", min_size=1, max_size=3)


def counts(*, errors: int = 0, hits: int = 0) -> ErrorCounts:
    return ErrorCounts(substitutions=errors, hits=hits)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("the cat sat", "the cat sat", ErrorCounts(hits=3)),
        ("the cat sat", "the bat sat", ErrorCounts(substitutions=1, hits=2)),
        ("the cat sat", "the sat", ErrorCounts(deletions=1, hits=2)),
        ("the cat sat", "the big cat sat", ErrorCounts(insertions=1, hits=3)),
        ("the cat sat", "on a mat with me", ErrorCounts(substitutions=3, insertions=2)),
        ("мама мыла раму", "мама мыло рану", ErrorCounts(substitutions=2, hits=1)),
        ("a\u00a0b\tc", "  a b\u3000c\n", ErrorCounts(hits=3)),
    ],
)
def test_word_errors_as_counted_by_hand(reference, hypothesis, expected):
    assert count_word_errors(reference, hypothesis) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("кот", "кит", ErrorCounts(substitutions=1, hits=2)),
        ("a b", "ab", ErrorCounts(deletions=1, hits=2)),
        ("ab", " a\u00a0 b ", ErrorCounts(insertions=1, hits=2)),
        ("", "ab", ErrorCounts(insertions=2)),
        ("ab", "", ErrorCounts(deletions=2)),
    ],
)
def test_char_errors_as_counted_by_hand(reference, hypothesis, expected):
    assert count_char_errors(reference, hypothesis) == expected


def test_empty_hypothesis_counts_as_deletions():
    empty = count_word_errors("one two", " ")
    assert empty == ErrorCounts(deletions=2)
    assert empty.rate == 1.0


def test_empty_reference_counts_as_insertions_and_their_number_is_the_rate():
    empty = count_word_errors("", "one two")
    assert empty == ErrorCounts(insertions=2)
    assert empty.rate == 2.0 == jiwer.wer("", "one two")


def test_nothing_said_and_nothing_heard_is_no_error():
    assert count_word_errors("", "") == ErrorCounts()
    assert ErrorCounts().rate == 0.0


def fewest_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> set[tuple[int, int, int, int]]:
    """Return substitutions, deletions, insertions and hits of each alignment that has the fewest errors."""
    row = [{(0, 0, number, 0)} for number in range(len(hypothesis) + 1)]
    for number, said in enumerate(reference, start=1):
        above, row = row, [{(0, number, 0, 0)}]
        for at, heard in enumerate(hypothesis):
            same = said == heard
            ways = {(s + (not same), d, i, h + same) for s, d, i, h in above[at]}
            ways |= {(s, d + 1, i, h) for s, d, i, h in above[at + 1]} | {(s, d, i + 1, h) for s, d, i, h in row[at]}
            fewest = min(s + d + i for s, d, i, _ in ways)
            row.append({(s, d, i, h) for s, d, i, h in ways if s + d + i == fewest})
    return row[-1]


def test_alignments_with_the_fewest_errors_as_written_out_by_hand():
    assert fewest_errors("ab", "ba") == {(2, 0, 0, 0), (0, 1, 1, 1)}
    assert fewest_errors("kitten", "sitting") == {(2, 0, 1, 4)}
    assert fewest_errors("", "ab") == {(0, 0, 2, 0)}


@given(words, words)
def test_counts_are_those_of_an_alignment_with_the_fewest_errors(reference, hypothesis):
    texts = " ".join(reference), " ".join(hypothesis)
    for counted, alignments in (
        (count_word_errors(*texts), fewest_errors(reference, hypothesis)),
        (count_char_errors(*texts), fewest_errors(*texts)),
    ):
        assert (counted.substitutions, counted.deletions, counted.insertions, counted.hits) in alignments
    assert count_word_errors(*texts).rate == pytest.approx(jiwer.wer(*texts))
    assert count_char_errors(*texts).rate == pytest.approx(jiwer.cer(*texts))


@given(words, words, whitespace)
def test_errors_are_the_fewest_whatever_the_whitespace(reference, hypothesis, space):
    counted = count_word_errors(space.join(reference), f"{space}{' '.join(hypothesis)}{space}")
    assert {counted.errors} == {sum(errors) for *errors, _ in fewest_errors(reference, hypothesis)}


@given(words, words)
def test_differences_join_to_both_texts_and_agree_with_the_counts(reference, hypothesis):
    spans = differences(" ".join(reference), " ".join(hypothesis))
    assert [word for span in spans for word in span.reference] == reference
    assert [word for span in spans for word in span.hypothesis] == hypothesis
    counted = count_word_errors(" ".join(reference), " ".join(hypothesis))
    lengths = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
    for span in spans:
        lengths[span.operation] += max(len(span.reference), len(span.hypothesis))
        assert (span.reference == span.hypothesis) is (span.operation == "equal")
    assert lengths == {
        "equal": counted.hits,
        "substitute": counted.substitutions,
        "delete": counted.deletions,
        "insert": counted.insertions,
    }


def test_differences_name_operation_and_words():
    assert differences("мы пошли домой вчера", "мы пошел домой") == [
        ("equal", ("мы",), ("мы",)),
        ("substitute", ("пошли",), ("пошел",)),
        ("equal", ("домой",), ("домой",)),
        ("delete", ("вчера",), ()),
    ]
    assert differences("", "a") == [("insert", (), ("a",))]
    assert differences("", "") == []


def test_corpus_rates_are_micro_averages_over_all_words():
    scores = score(
        ["The cat sat on the mat.", "Hello!", "Пять рублей"],
        ["the cat sat on a mat", "", "5 рублей"],
        languages=["en", "en", "ru"],
    )
    # normalised: 1 of 6, 1 of 1, 0 of 2
    assert scores.words == ErrorCounts(substitutions=1, deletions=1, hits=7)
    assert scores.words.rate == pytest.approx(2 / 9)
    assert scores.sentence_error_rate == pytest.approx(2 / 3)
    # raw: The, the, mat. | Hello! | Пять
    assert scores.raw_words == ErrorCounts(substitutions=4, deletions=1, hits=4)
    assert scores.raw_chars.errors == 1 + 3 + 1 + 6 + 4
    assert scores.chars == ErrorCounts(substitutions=1, deletions=2 + 5, hits=19 + 8)


def test_chinese_is_scored_by_character_without_the_spaces_of_the_normaliser():
    scores = score(["我喜歡你。"], ["我喜歡他"], languages=["zh"])
    assert scores.words.rate == scores.chars.rate == 0.25
    # with 。as a fifth
    assert scores.raw_words.rate == pytest.approx(2 / 5)
    assert scores.raw_chars.rate == pytest.approx(2 / 5)


def test_utterances_keep_their_texts_and_order():
    scores = score(["One!", ""], ["two", "noise"], languages=["en", None])
    first, second = scores.utterances
    assert (first.index, first.reference, first.normalized_reference) == (0, "One!", "one")
    assert (second.index, second.words) == (1, ErrorCounts(insertions=1))


def test_a_part_of_the_corpus_is_summed_up_from_its_utterances():
    scores = score(["a b", "да", "c"], ["a b", "нет", "d"], languages=["en", "ru", "en"])
    english = summarize([utterance for utterance in scores.utterances if utterance.language == "en"])
    assert english.words == ErrorCounts(substitutions=1, hits=2)
    assert summarize(scores.utterances) == scores


def test_scores_as_json_are_fractions_and_counts():
    scores = score(["a b c d", ""], ["a b c", "e"], languages=[None, None])
    in_json = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert in_json["wer"] == 0.5
    assert in_json["cer"] == pytest.approx(3 / 7)
    assert in_json["sentence_error_rate"] == 1.0
    assert in_json["num_utterances"] == 2
    assert in_json["words"] == {"reference_length": 4, "substitutions": 0, "deletions": 1, "insertions": 1, "hits": 3}
    low, high = in_json["wer_interval_95"]
    assert low <= in_json["wer"] <= high


def test_a_corpus_of_silence_has_rates_that_json_can_hold():
    scores = score(["", "[noise]"], ["", "a b"], languages=["en", "en"])
    assert scores.words.reference_length == 0
    assert scores.words.rate == 2.0
    json.dumps(scores.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("references", "hypotheses", "languages"), [(["a"], ["a", "b"], ["en"]), (["a"], ["a", "b"], ["en", "en"])]
)
def test_unequal_numbers_are_named(references, hypotheses, languages):
    with pytest.raises(InputError, match=f"1 references, 2 hypotheses and {len(languages)} languages do not pair up"):
        score(references, hypotheses, languages=languages)


def test_no_utterance_has_no_rate():
    with pytest.raises(InputError, match="nothing to score; give at least one utterance"):
        score([], [], languages=[])


def test_worst_are_ordered_by_errors_then_rate():
    scores = score(
        ["a b c d", "a b c d e f", "a b", "a", "a b c"],
        ["x x c d", "x x c d e f", "x x", "a", "x x x"],
        languages=[None] * 5,
    )
    assert [utterance.index for utterance in worst(scores.utterances, count=4)] == [4, 2, 0, 1]
    assert len(worst(scores.utterances, count=10)) == 5
    assert worst(scores.utterances, count=0) == []


def corpus(*, size: int, seed: int, error_share: float = 0.2) -> list[ErrorCounts]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 20, size=size)
    return [
        counts(errors=int(errors), hits=int(length - errors))
        for length, errors in zip(lengths, generator.binomial(lengths, error_share), strict=True)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_interval_contains_the_point_estimate(seed):
    sample = corpus(size=100, seed=seed)
    low, high = bootstrap_interval(sample)
    assert low < total(sample).rate < high


def test_interval_of_one_utterance_is_its_rate():
    assert bootstrap_interval([counts(errors=1, hits=3)]) == (0.25, 0.25)


def test_interval_is_the_same_for_a_seed_and_moves_with_another():
    sample = corpus(size=100, seed=0)
    assert bootstrap_interval(sample, seed=1) == bootstrap_interval(sample, seed=1)
    assert bootstrap_interval(sample, seed=1) != bootstrap_interval(sample, seed=2)


def test_interval_narrows_with_more_utterances():
    low, high = bootstrap_interval(corpus(size=100, seed=0))
    low_of_more, high_of_more = bootstrap_interval(corpus(size=1600, seed=0))
    # four times narrower in expectation
    assert 2.5 < (high - low) / (high_of_more - low_of_more) < 6


def test_interval_covers_the_true_rate_as_often_as_it_says():
    intervals = [bootstrap_interval(corpus(size=60, seed=seed)) for seed in range(100)]
    covered = sum(low <= 0.2 <= high for low, high in intervals)
    assert 88 <= covered <= 100


def all_interval(rates: list[float]) -> tuple[float, float]:
    return tuple(np.quantile(rates, [0.025, 0.975], method="inverted_cdf"))


def test_interval_agrees_with_all_resamples_written_out():
    sample = [counts(errors=0, hits=4), counts(errors=2, hits=3), counts(errors=5, hits=1), counts(errors=1, hits=9)]
    rates = [total(picks).rate for picks in product(sample, repeat=4)]
    assert bootstrap_interval(sample) == pytest.approx(all_interval(rates), abs=0.03)


def test_paired_difference_agrees_with_all_resamples_written_out():
    base = [counts(errors=2, hits=2), counts(errors=1, hits=4), counts(errors=3, hits=3)]
    tuned = [counts(errors=1, hits=3), counts(errors=2, hits=3), counts(errors=1, hits=5)]
    resamples = list(product(range(3), repeat=3))
    gains = [
        total(tuned[pick] for pick in picks).rate - total(base[pick] for pick in picks).rate for picks in resamples
    ]
    paired = paired_bootstrap(base, tuned)
    assert paired.difference == pytest.approx(4 / 15 - 6 / 15)
    assert paired.share_better == pytest.approx(np.mean(np.array(gains) < 0), abs=0.03)
    assert paired.interval == pytest.approx(all_interval(gains))


def test_paired_interval_is_narrower_than_the_models_apart():
    base = corpus(size=200, seed=0)
    tuned = [ErrorCounts(max(each.errors - 1, 0), 0, 0, each.hits + min(each.errors, 1)) for each in base]
    paired = paired_bootstrap(base, tuned)
    assert paired.interval[0] < paired.difference < paired.interval[1] < 0
    assert paired.share_better == 1.0
    (base_low, base_high), (low, high) = bootstrap_interval(base), paired.interval
    assert high - low < base_high - base_low


def test_equal_models_differ_by_nothing_and_none_is_better():
    base = corpus(size=20, seed=0)
    paired = paired_bootstrap(base, base)
    assert (paired.difference, paired.interval, paired.share_better) == (0.0, (0.0, 0.0), 0.0)


def test_models_scored_on_other_utterances_are_refused():
    with pytest.raises(InputError, match="2 utterances of the base model and 1 of the tuned one do not pair up"):
        paired_bootstrap([counts(hits=1)] * 2, [counts(hits=1)])
    with pytest.raises(InputError, match="utterance 1: the reference has length 2 for the base model and 3 for the"):
        paired_bootstrap([counts(hits=1), counts(hits=2)], [counts(hits=1), counts(hits=3)])
