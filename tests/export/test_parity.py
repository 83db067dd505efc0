"""Parity's counts against hand counts, its limits, and what holds for any texts."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eartune.errors import InputError
from eartune.export.parity import LIMITS_POINTS, NUM_SHOWN, Cost, Parity, compare, logit_distance

COST = Cost(load_s=0.5, decode_s=2.0, speech_s=8.0, peak_memory_bytes=None, size_bytes=10)
WORDS = ["pump", "valve", "oil", "shift", "night", "cold"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
TRIPLES = st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=12)


def parity(references: list[str], model: list[str], exported: list[str], *, quantization: str = "float16") -> Parity:
    return compare(
        references, model, exported, languages=["en"] * len(references), quantization=quantization, cost=COST
    )


def test_the_counts_are_those_of_a_hand() -> None:
    found = parity(
        ["the pump is running", "close the second valve", "it is cold"],
        ["The pump is running.", "close the second wolf", "it is gold"],
        ["the pump is running", "close a second wolf", "it cold"],
    )
    # of 11 words: wolf, gold; a, wolf and a word left out; between the two: a, is, cold
    assert (found.model.errors, found.exported.errors, found.between.errors) == (2, 3, 3)
    assert found.model.reference_length == found.exported.reference_length == found.between.reference_length == 11
    assert found.change_points == pytest.approx(100 / 11)
    assert [each.index for each in found.differing] == [1, 2]
    assert found.differing[0].model == "close the second wolf"
    assert found.differing[0].exported == "close a second wolf"
    assert found.num_differing == 2
    assert found.cost.real_time_factor == 0.25


def of_a_thousand(*, model: int, exported: int, other: int = 0, quantization: str = "float16") -> Parity:
    """A thousand words: so many wrong in the model, so many in the export, so many wrong in both and different."""
    references = ["pump " * 10] * 100
    texts: dict[str, list[str]] = {}
    for name, wrong in (("model", model), ("artefact", exported)):
        words = ["valve"] * wrong + ["pump"] * (1000 - wrong)
        if name == "artefact":
            words[:other] = ["oil"] * other
        # one of each sentence before there are two of any
        texts[name] = [" ".join(words[at::100]) for at in range(100)]
    return parity(references, texts["model"], texts["artefact"], quantization=quantization)


@pytest.mark.parametrize(
    ("quantization", "limit"), [("float32", 0.2), ("f16", 0.2), ("int8", 1.0), ("q5_0", 1.0), ("q4_0", 2.0)]
)
def test_limits_are_points_of_wer_in_both_directions(quantization: str, limit: float) -> None:
    within, beyond = round(10 * limit), round(10 * limit) + 12
    for exported, passes in ((100 + within, True), (100 - within, True), (100 + beyond, False), (100 - beyond, False)):
        found = of_a_thousand(model=100, exported=exported, quantization=quantization)
        assert found.passes is passes, found.verdict


def test_a_change_that_may_be_chance_is_told_and_does_not_fail() -> None:
    """Three sentences of a hundred: another hundred may well have none of the kind."""
    found = of_a_thousand(model=100, exported=103)
    assert found.passes
    assert found.verdict.endswith(
        "; it changed by +0.30 points (+0.00 to +0.70), which is not significant with so few sentences"
    )
    assert found.to_json()["change_points_interval_95"] == pytest.approx([0.0, 0.7])


def test_a_wider_limit_may_be_given() -> None:
    references, model, exported = ["pump " * 10] * 30, ["pump " * 10] * 30, ["valve " + "pump " * 9] * 30
    settings = {"languages": ["en"] * 30, "quantization": "q4_0", "cost": COST}
    assert not compare(references, model, exported, **settings).passes
    assert compare(references, model, exported, limit_points=10.0, **settings).passes


def test_logits_are_compared_without_what_all_of_them_share() -> None:
    expected = np.array([0.0, 1.0, 2.0, 3.0], dtype=np.float32)
    assert logit_distance(expected, expected + 7) == 0
    assert logit_distance(expected, expected[::-1]) == pytest.approx(2.0)
    # what a program has beyond the model's tokens is not compared
    assert logit_distance(expected, np.append(expected, np.float32(99))) == 0


def test_as_often_right_with_other_words_is_another_model() -> None:
    assert of_a_thousand(model=100, exported=100, other=50).passes
    found = of_a_thousand(model=100, exported=100, other=51)
    assert found.change_points == 0
    assert found.verdict == (
        "fails: 5.10 % of the words differ from the model's, the limit is 5 %"
        " (WER 10.00 % of the model, 10.00 % of the export (float16), 51 of 100 sentences differ)"
    )


def test_one_word_of_few_is_the_smallest_change_there_is() -> None:
    assert parity(["the pump"], ["the pump"], ["the valve"]).passes
    assert not parity(["the pump"], ["the pump"], ["a valve"]).passes


def test_silence_that_is_answered_counts() -> None:
    found = parity(["", "pump"], ["", "pump"], ["thank you", "pump"])
    assert (found.model.errors, found.exported.errors) == (0, 2)
    assert not found.passes


def test_at_most_twenty_sentences_are_shown() -> None:
    found = parity(["pump"] * 30, ["pump"] * 30, ["valve"] * 30)
    assert found.num_differing == 30
    assert [each.index for each in found.differing] == list(range(NUM_SHOWN))


def test_unknown_quantizations_and_unequal_numbers_are_refused() -> None:
    with pytest.raises(InputError, match=r"quantization 'int9': is not one of .* Did you mean int8"):
        parity(["a"], ["a"], ["a"], quantization="int9")
    with pytest.raises(InputError, match="do not pair up"):
        parity(["a"], ["a"], ["a", "b"])
    with pytest.raises(InputError, match="nothing to score"):
        parity([], [], [])


@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), quantization=st.sampled_from([*LIMITS_POINTS]))
@settings(max_examples=40)
def test_an_export_that_says_the_same_passes(texts: list[tuple[str, str]], quantization: str) -> None:
    references, model = map(list, zip(*texts, strict=True))
    found = parity(references, model, [text.upper() + " " for text in model], quantization=quantization)
    assert found.passes
    assert found.num_differing == found.between.errors == 0


@given(triples=TRIPLES)
@settings(max_examples=40)
def test_swapping_model_and_export_turns_the_change_around(triples: list[tuple[str, str, str]]) -> None:
    references, model, exported = map(list, zip(*triples, strict=True))
    there, back = parity(references, model, exported), parity(references, exported, model)
    assert there.change_points == pytest.approx(-back.change_points)
    assert there.between.errors == back.between.errors
    assert there.num_differing == back.num_differing


@given(triples=TRIPLES)
@settings(max_examples=40)
def test_the_wer_moves_by_no_more_than_the_words_that_differ(triples: list[tuple[str, str, str]]) -> None:
    references, model, exported = map(list, zip(*triples, strict=True))
    found = parity(references, model, exported)
    assert abs(found.model.errors - found.exported.errors) <= found.between.errors
    assert found.num_differing == sum(a != b for a, b in zip(model, exported, strict=True))


@given(triples=TRIPLES)
@settings(max_examples=40)
def test_json_and_verdict_say_the_same(triples: list[tuple[str, str, str]]) -> None:
    references, model, exported = map(list, zip(*triples, strict=True))
    found = parity(references, model, exported)
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["passes"] is found.verdict.startswith("passes: ") is not found.verdict.startswith("fails: ")
    assert written["cost"]["real_time_factor"] == 0.25
    assert "\n" not in found.verdict
