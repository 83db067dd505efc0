"""No text and no speaker leaks; shares are met; the seed alone decides."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eartune.errors import InputError
from eartune.manifest import Utterance
from eartune.manifest.folding import fold
from eartune.prepare.split import SPLITS, Split, split_utterances


def said(
    text: str, speaker: str | None = None, duration_s: float = 1.0, number: int = 0, split: object = None
) -> Utterance:
    extra = {} if split is None else {"split": split}
    return Utterance(Path(f"/{number}.wav"), text, duration_s, speaker=speaker, source=f"m:{number}", extra=extra)


def shares_of(split: Split) -> list[float]:
    seconds = [sum(u.duration_s for u in split.utterances[name]) for name in SPLITS]
    return [part / sum(seconds) for part in seconds]


# --- what counts as the same text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World!", "hello world"),
        ("Ещё раз.", "еще раз"),
        ("ﬁne", "fine"),
        ("STRASSE", "straße"),
        ("don't", "dont"),
        ("«Да» — сказал он…", "да сказал он"),
    ],
)
def test_case_and_punctuation_do_not_make_another_text(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("one", "two"), ("...", "?!"), ("कि", "क"), ("7", "8"), ("", "x")])
def test_other_letters_make_another_text(one: str, other: str) -> None:
    assert fold(one) != fold(other)


# --- small corpora


def test_nothing_to_split() -> None:
    assert [len(split_utterances([]).utterances[name]) for name in SPLITS] == [0, 0, 0]


def test_one_utterance_is_for_training_and_the_rest_is_said_to_be_empty() -> None:
    split = split_utterances([said("x")])
    assert [len(split.utterances[name]) for name in SPLITS] == [1, 0, 0]
    assert "val and test would be empty: there are too few different texts to split" in split.notes


def test_three_texts_fill_three_splits() -> None:
    split = split_utterances([said(text, number=number) for number, text in enumerate("abc")])
    assert [len(split.utterances[name]) for name in SPLITS] == [1, 1, 1]


def test_one_word_only_is_split_by_clip() -> None:
    split = split_utterances([said("Same.", number=number) for number in range(9)])
    assert [len(split.utterances[name]) for name in SPLITS] == [7, 1, 1]
    assert split.notes == (
        "closed vocabulary, 1 different texts in 9 rows: they are in all splits",
        "split by clip; speakers are not known",
    )


# --- shares


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.9, 0.1, 0.0), (0.5, 0.25, 0.25), (1.0, 0.0, 0.0)])
def test_shares_are_of_the_audio(shares: tuple[float, float, float]) -> None:
    utterances = [said(f"text {n}", duration_s=0.5 + n % 10, number=n) for n in range(1000)]
    assert shares_of(split_utterances(utterances, shares=shares)) == pytest.approx(shares, abs=0.01)


def test_long_and_short_clips_are_in_every_split() -> None:
    utterances = [said(f"text {n}", duration_s=1 + n / 100, number=n) for n in range(1000)]
    split = split_utterances(utterances)
    means = [sum(u.duration_s for u in part) / len(part) for part in split.utterances.values()]
    assert means == pytest.approx([6, 6, 6], abs=1)


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5), (80, 10, 10)])
def test_wrong_shares(shares: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="give the shares of train, val and test"):
        split_utterances([], shares=shares)


# --- speakers


def test_speakers_are_kept_apart() -> None:
    utterances = [said(f"text {n}", speaker=f"s{n % 20}", number=n) for n in range(400)]
    split = split_utterances(utterances)
    speakers = [{u.speaker for u in split.utterances[name]} for name in SPLITS]
    assert sum(map(len, speakers)) == 20
    assert shares_of(split) == pytest.approx([0.8, 0.1, 0.1], abs=0.05)
    assert split.notes == ("no speaker and no text is in two splits (20 speakers)",)


@pytest.mark.parametrize(
    ("utterances", "note"),
    [
        ([said(f"text {n}", f"s{n % 4}", number=n) for n in range(100)], "too few speakers to keep them apart (4)"),
        (
            [said(f"text {n}", "most" if n % 40 else f"s{n % 7}", number=n) for n in range(400)],
            "speakers cannot be kept apart (one has too much speech, or they share texts)",
        ),
        (
            [said(f"prompt {n % 30}", f"s{n % 8}", number=n) for n in range(240)],
            "the 8 speakers cannot be kept apart",
        ),
        ([said(f"text {n}", number=n) for n in range(100)], "no text is in two splits; speakers are not known"),
    ],
)  # fmt: skip
def test_note_says_where_speakers_are_shared(utterances: list[Utterance], note: str) -> None:
    split = split_utterances(utterances)
    assert note in split.notes[0]
    assert shares_of(split) == pytest.approx([0.8, 0.1, 0.1], abs=0.1)


def test_speakers_known_of_some_only_are_still_kept_apart() -> None:
    utterances = [said(f"text {n}", f"s{n % 10}" if n % 2 else None, number=n) for n in range(400)]
    split = split_utterances(utterances)
    speakers = [{u.speaker for u in split.utterances[name]} - {None} for name in SPLITS]
    assert sum(map(len, speakers)) == len(set().union(*speakers)) == 5


# --- splits that the source gives


def test_given_splits_are_kept() -> None:
    names = ["train", "training", "dev", "valid", "Validation", "test", "test"]
    split = split_utterances([said(f"text {n}", number=n, split=name) for n, name in enumerate(names)])
    assert [[u.source for u in split.utterances[name]] for name in SPLITS] == [
        ["m:0", "m:1"],
        ["m:2", "m:3", "m:4"],
        ["m:5", "m:6"],
    ]
    assert split.notes == ("the splits of the source are kept",)


def test_missing_val_is_cut_from_train_and_test_stays() -> None:
    utterances = [said(f"text {n}", number=n, split="test" if n < 50 else "train") for n in range(500)]
    split = split_utterances(utterances)
    assert list(split.utterances["test"]) == utterances[:50]
    assert len(split.utterances["val"]) == pytest.approx(50, abs=2)
    assert split.notes[:2] == ("the splits of the source are kept", "the source has no val: cut from its train")


def test_split_that_is_not_wanted_is_not_cut() -> None:
    utterances = [said(f"text {n}", number=n, split="val" if n < 50 else "train") for n in range(500)]
    split = split_utterances(utterances, shares=(0.9, 0.1, 0.0))
    assert [len(split.utterances[name]) for name in SPLITS] == [450, 50, 0]


def test_one_and_the_same_split_for_all_is_none() -> None:
    split = split_utterances([said(f"text {n}", number=n, split="train") for n in range(100)])
    assert [len(split.utterances[name]) for name in SPLITS] == [80, 10, 10]


def test_splits_named_for_some_only_or_wrongly() -> None:
    utterances = [said("a", split="train"), said("b", number=1), said("c", number=2, split="other")]
    with pytest.raises(InputError) as caught:
        split_utterances(utterances)
    assert str(caught.value).splitlines() == [
        "Some utterances name their split, and these do not:",
        "m:1: no split is named",
        "m:2: split 'other' is not known",
        "Name train, val or test for all of them, or for none.",
    ]


@pytest.mark.parametrize("split", [["train"], {"name": "train"}, []], ids=str)
def test_a_split_that_is_a_list_or_a_mapping_is_told_with_its_row(split: object) -> None:
    with pytest.raises(InputError, match=r"m:1: split is .*, not the name of a split") as caught:
        split_utterances([said("a", split="train"), said("b", number=1, split=split)])
    assert str(caught.value).splitlines()[-1] == "Name train, val or test for all of them, or for none."


def test_leak_of_the_source_is_told_and_left() -> None:
    utterances = [said("Same!", split="train"), said("same", number=1, split="test"), said("x", number=2, split="val")]
    split = split_utterances(utterances)
    assert "1 texts of test are also in train: scores on test will be too good" in split.notes
    assert [len(split.utterances[name]) for name in SPLITS] == [1, 1, 1]


# --- properties

corpora = st.lists(
    st.tuples(
        st.sampled_from(["a", "A.", "b", "c", "d", "e", "f", "g", "h"]) | st.text(max_size=3),
        st.none() | st.sampled_from(list("123456789")),
        st.floats(0.1, 30),
    ),
    max_size=60,
).map(lambda rows: [said(text, speaker, duration_s, n) for n, (text, speaker, duration_s) in enumerate(rows)])


@given(corpora, st.integers(0, 5))
@settings(deadline=None)
def test_every_utterance_is_in_one_split(utterances: list[Utterance], seed: int) -> None:
    split = split_utterances(utterances, seed=seed)
    assert Counter(u.source for part in split.utterances.values() for u in part) == Counter(
        u.source for u in utterances
    )
    for part in split.utterances.values():
        assert list(part) == [u for u in utterances if u in part]


@given(corpora, st.integers(0, 5))
@settings(deadline=None)
def test_no_text_is_in_two_splits_unless_the_vocabulary_is_said_to_be_closed(
    utterances: list[Utterance], seed: int
) -> None:
    split = split_utterances(utterances, seed=seed)
    texts = [{fold(u.text) for u in part if u.text} for part in split.utterances.values()]
    shared = sum(map(len, texts)) > len(set().union(*texts))
    assert not shared or any("closed vocabulary" in note for note in split.notes)


@given(corpora, st.integers(0, 5))
@settings(deadline=None)
def test_no_speaker_is_in_two_splits_unless_a_note_says_so(utterances: list[Utterance], seed: int) -> None:
    split = split_utterances(utterances, seed=seed)
    assume(any(u.speaker for u in utterances))
    speakers = [{u.speaker for u in part} - {None} for part in split.utterances.values()]
    shared = sum(map(len, speakers)) > len(set().union(*speakers))
    assert not shared or any("share speakers" in note for note in split.notes)


@given(corpora, st.integers(0, 5), st.randoms())
@settings(deadline=None)
def test_order_does_not_matter_and_the_seed_decides(utterances: list[Utterance], seed: int, random: object) -> None:
    split = split_utterances(utterances, seed=seed)
    shuffled = list(utterances)
    random.shuffle(shuffled)
    again = split_utterances(shuffled, seed=seed)
    for name in SPLITS:
        assert {u.source for u in split.utterances[name]} == {u.source for u in again.utterances[name]}
    assert set(split.notes) == set(again.notes)


@given(corpora)
@settings(deadline=None)
def test_no_split_is_empty_where_texts_suffice(utterances: list[Utterance]) -> None:
    assume(len({fold(u.text) for u in utterances}) >= 3)
    split = split_utterances(utterances)
    assert all(split.utterances[name] for name in SPLITS)


def test_another_seed_splits_otherwise() -> None:
    utterances = [said(f"text {n}", number=n) for n in range(100)]
    tests = {tuple(u.source for u in split_utterances(utterances, seed=seed).utterances["test"]) for seed in range(5)}
    assert len(tests) == 5
