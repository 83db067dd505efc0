"""What rows ask of a Canary, in all the spellings of it."""

from pathlib import Path
from typing import Any

import pytest

from eartune.families._nemo.slots import other_languages, read_emotion, read_language, read_switch
from eartune.families.canary.prompt import Prompts
from eartune.manifest import Utterance

SYMBOLS = frozenset(
    {"<|en|>", "<|de|>", "<|no|>", "<|nb|>", "<|tl|>", "<|yue|>", "<|pnc|>", "<|itn|>", "<|emo:happy|>"}
)
PROMPTS = Prompts({}, "transcribe", None, SYMBOLS)


def row(language: str | None = None, **extra: Any) -> Utterance:
    return Utterance(Path("a.wav"), "good", 1.0, language, extra=extra)


@pytest.mark.parametrize("spelling", ["en", "EN", "eng", "English", "en-US", "en_GB", "<|en|>", " english "])
def test_a_language_is_read_however_it_is_spelled(spelling: str) -> None:
    assert "<|en|><|en|>" in PROMPTS.write(row(source_lang=spelling, target_lang=spelling))
    assert PROMPTS.problem(row(source_lang=spelling, target_lang=spelling)) is None


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [("nb", "nb"), ("no", "no"), ("fil", "tl"), ("yue", "yue"), ("cnh", "cnh"), ("klingon", None), (5, None)],
)
def test_it_is_called_what_the_model_calls_it(spelling: Any, expected: str | None) -> None:
    assert read_language(spelling, PROMPTS.languages) == expected


def test_switches_are_no_languages() -> None:
    assert sorted(PROMPTS.languages) == ["de", "en", "nb", "no", "tl", "yue"]


@pytest.mark.parametrize("value", ["yes", "Yes", "true", "True", True, 1, "1", 1.0, "pnc", "<|pnc|>", "on"])
def test_a_yes(value: Any) -> None:
    assert read_switch("pnc", value) is True
    assert "<|pnc|>" in PROMPTS.write(row("en", pnc=value))


@pytest.mark.parametrize("value", ["no", "NO", "false", False, 0, "0", 0.0, "nopnc", "<|nopnc|>", "off"])
def test_a_no(value: Any) -> None:
    assert read_switch("pnc", value) is False
    assert "<|nopnc|>" in PROMPTS.write(row("en", pnc=value))


@pytest.mark.parametrize("value", ["perhaps", 2, float("nan"), "itn", [True], "<|noitn|>"])
def test_what_is_neither(value: Any) -> None:
    assert read_switch("pnc", value) is None
    assert "pnc is" in (PROMPTS.problem(row("en", pnc=value)) or "")


@pytest.mark.parametrize("value", ["happy", "Happy", "emo:happy", "<|emo:happy|>"])
def test_an_emotion(value: str) -> None:
    assert read_emotion(value) == "<|emo:happy|>"


def test_other_names_of_columns_are_understood() -> None:
    written = PROMPTS.write(row(src_lang="en", target_language="German", timestamps="yes"))
    assert "<|en|><|de|>" in written
    assert "<|timestamp|>" in written
    # a list of times is not a switch
    assert "<|notimestamp|>" in PROMPTS.write(row("en", timestamps=[0.0, 1.2]))


def test_a_row_that_names_the_spoken_language_alone_is_asked_for_the_other() -> None:
    prompts = Prompts({"target_lang": "<|en|>"}, "transcribe", None, SYMBOLS)
    assert "no target_lang says whether the text is in de or en" in (prompts.problem(row(source_lang="de")) or "")
    assert "<|de|><|de|>" in prompts.write(row(source_lang="de", taskname="asr"))
    assert "<|de|><|en|>" in prompts.write(row(source_lang="de", task="ast"))
    assert "no target_lang says" in (prompts.problem(row("en", source_lang="de")) or "")
    # as rows are read that name no other
    assert "<|de|><|de|>" in prompts.write(row("de", source_lang="de"))
    assert prompts.problem(row("de", source_lang="de")) is None


@pytest.mark.parametrize(
    ("extra", "language", "task", "differs"),
    [
        ({}, "en", "transcribe", False),
        ({"source_lang": "English", "target_lang": "en-US"}, "en", "transcribe", False),
        ({"target_lang": "de"}, "de", "transcribe", False),
        ({"source_lang": "en", "target_lang": "de"}, "de", "transcribe", True),
        ({"source_lang": "de", "target_lang": "en"}, "de", "translate", False),
        ({"source_lang": "de", "target_lang": "fr"}, "de", "translate", True),
    ],
)
def test_an_export_is_not_asked_for_what_it_is_not_told(
    extra: dict[str, str], language: str, task: str, differs: bool
) -> None:
    assert (other_languages(extra, language, task=task) is not None) == differs


@pytest.mark.parametrize("name", ["task", "taskname"])
@pytest.mark.parametrize("task", ["ast", "s2t_translation", "translate", "<|translate|>"])
def test_a_row_that_translates_writes_english(name: str, task: str) -> None:
    assert "<|de|><|en|>" in PROMPTS.write(row("de", **{name: task}))
    assert PROMPTS.problem(row("de", **{name: task})) is None
