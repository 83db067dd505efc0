"""The audit counts right and lists what looks wrong."""

import json
from pathlib import Path

import pytest

from eartune.manifest import Utterance
from eartune.prepare.audit import audit, warnings
from eartune.prepare.convert import Loudness, MeasuredUtterance

FINE = Loudness(0.5, 0.1, 0.0)


def measured(
    text: str = "ten letters", duration_s: float = 1.0, *, loudness: Loudness = FINE, **more: object
) -> MeasuredUtterance:
    return MeasuredUtterance(Utterance(Path("/corpus/a.wav"), text, duration_s, source="m:7", **more), loudness)


def test_sizes() -> None:
    parts = {
        "train": [
            measured("One.", 1800, speaker="mia", language="en"),
            measured("one", 1800, speaker="leo", language="en"),
        ],
        "val": [measured("два", 900, speaker="mia", language="ru")],
        "test": [],
    }
    report = audit(parts, [], ["a note"])
    train = {"utterances": 2, "hours": 1.0, "speakers": 2, "languages": {"en": 2}, "different_texts": 1}
    assert report["splits"]["train"] == train
    assert report["total"]["hours"] == 1.25
    assert report["total"]["languages"] == {"en": 2, "ru": 1}
    assert list(report["splits"]) == ["train", "val"]
    assert report["notes"] == ["a note"]
    assert json.loads(json.dumps(report)) == report


def test_durations() -> None:
    report = audit({"train": [measured(duration_s=s) for s in (0.5, 1, 1.99, 4, 30, 100)]}, [], [])
    lengths = report["duration_s"]
    assert (lengths["shortest"], lengths["median"], lengths["longest"]) == (0.5, 2.995, 100)
    assert {name: count for name, count in lengths["histogram"].items() if count} == {
        "0-1": 1,
        "1-2": 2,
        "3-5": 1,
        "30-60": 1,
        "over 60": 1,
    }


@pytest.mark.parametrize(
    ("name", "suspect", "why"),
    [
        ("longer_than_30_s", measured("ten letters" * 40, 40), {"duration_s": 40}),
        ("silent", measured(loudness=Loudness(0.003, 0.0005, 0.0)), {"peak": 0.003, "rms": 0.0005, "clipped": 0.0}),
        ("clipped", measured(loudness=Loudness(1.0, 0.4, 0.01)), {"peak": 1.0, "rms": 0.4, "clipped": 0.01}),
        ("unlikely_rate", measured("no", 9.0), {"characters_per_second": 0.22, "text": "no"}),
        ("unlikely_rate", measured("too long " * 7, 1.0), {"characters_per_second": 63.0, "text": "too long " * 7}),
    ],
)  # fmt: skip
def test_suspects(name: str, suspect: MeasuredUtterance, why: dict[str, object]) -> None:
    report = audit({"train": [measured()] * 9, "test": [suspect]}, [], [])
    assert report[name]["count"] == 1
    assert report[name]["examples"] == [{"source": "m:7", "audio": "a.wav", **why}]
    assert len(warnings(report)) == 1


def test_silence_around_a_word_is_not_suspect() -> None:
    assert audit({"train": [measured()] * 9 + [measured("no", 0.9)]}, [], [])["unlikely_rate"]["count"] == 0


def test_rates_are_those_of_the_language() -> None:
    slow = [measured("你好", 1.0, language="zh")] * 5
    report = audit({"train": slow + [measured("x" * 60, 4.0, language="en")] * 5}, [], [])
    assert report["unlikely_rate"]["median_characters_per_second"] == {"zh": 2.0, "en": 15.0}
    assert report["unlikely_rate"]["count"] == 0


def test_duplicates_of_texts() -> None:
    texts = ["Yes.", "yes", "YES!", "no", "No", "perhaps"]
    report = audit({"train": [measured(text) for text in texts]}, [], [])
    assert report["duplicate_texts"] == {
        "texts": 2,
        "utterances": 5,
        "examples": [{"text": "Yes.", "count": 3}, {"text": "no", "count": 2}],
    }


def test_examples_are_few_and_counts_whole() -> None:
    report = audit({"train": [measured(duration_s=40, text="x" * 400)] * 200}, [], [])
    assert report["longer_than_30_s"]["count"] == 200
    assert len(report["longer_than_30_s"]["examples"]) == 50


def test_skipped_rows_are_listed() -> None:
    report = audit({"train": [measured()]}, ["m:3: no such file"], [])
    assert report["skipped"] == {"count": 1, "findings": ["m:3: no such file"]}
    (warning,) = warnings(report)
    assert warning.startswith("1 rows were skipped, the first: ")
