"""Canary's prompts and answers, against NeMo's format by hand (tests/nemo/judge compares with NeMo itself)."""

from pathlib import Path
from typing import Any

import pytest

from eartune.errors import InputError
from eartune.families.canary.load import find, load
from eartune.families.canary.model import CanaryModel
from eartune.families.canary.prompt import Prompts, slot_defaults
from eartune.manifest import Utterance
from eartune.speech_model import IGNORED, DecodeOptions, Spoken


def row(text: str = "check the oil", language: str | None = "en", **extra: Any) -> Utterance:
    return Utterance(audio=Path("a.wav"), text=text, duration_s=2.0, language=language, source="t.jsonl:1", extra=extra)


@pytest.fixture(scope="module")
def speech(tiny_nemo: dict[str, Path]) -> CanaryModel:
    return load(find(str(tiny_nemo["canary"])))


@pytest.mark.parametrize(
    ("utterance", "expected"),
    [
        (row(), "<|emo:undefined|><|en|><|en|><|pnc|><|noitn|><|notimestamp|><|nodiarize|>"),
        (row(pnc="no", itn="yes"), "<|emo:undefined|><|en|><|en|><|nopnc|><|itn|><|notimestamp|><|nodiarize|>"),
        (row(pnc=True, timestamp=1), "<|emo:undefined|><|en|><|en|><|pnc|><|noitn|><|timestamp|><|nodiarize|>"),
        (
            row(source_lang="de", target_lang="fr", emotion="<|emo:happy|>", diarize="diarize"),
            "<|emo:happy|><|de|><|fr|><|pnc|><|noitn|><|notimestamp|><|diarize|>",
        ),
    ],
)
def test_a_row_becomes_a_prompt(utterance: Utterance, expected: str) -> None:
    written = Prompts({}, "transcribe", None).write(utterance)
    assert written == f"<|startofcontext|><|startoftranscript|>{expected}"


def test_the_models_own_defaults_fill_what_the_row_leaves_open() -> None:
    turns = [{"role": "user", "slots": {"source_lang": "<|de|>", "target_lang": "<|de|>", "pnc": "<|nopnc|>"}}]
    prompts = Prompts(slot_defaults(turns), "transcribe", None)
    assert "<|de|><|de|><|nopnc|>" in prompts.write(row(language=None))
    assert "<|fr|><|fr|><|pnc|>" in prompts.write(row(language="fr", pnc="yes"))
    assert slot_defaults(None) == {}


def test_a_run_that_translates_writes_english() -> None:
    prompts = Prompts({}, "translate", None)
    assert "<|de|><|en|>" in prompts.write(row(language="de"))
    assert "<|de|><|fr|>" in prompts.write(row(language="de", target_lang="fr"))


def test_only_the_answer_carries_loss(speech: CanaryModel) -> None:
    labels = speech.transcripts([row()]).labels([Spoken(0, 0.0, 2.0)], timestamps=False)
    ids = speech.tokenizer.get_vocab()
    prompt = [
        "▁", "<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", "<|en|>", "<|en|>", "<|pnc|>",
        "<|noitn|>", "<|notimestamp|>", "<|nodiarize|>",
    ]  # fmt: skip
    assert labels.decoder_input_ids[: len(prompt)] == [ids[token] for token in prompt]
    text = speech.tokenizer("check the oil", add_special_tokens=False).input_ids
    assert labels.decoder_input_ids[len(prompt) :] == text
    assert labels.targets == [IGNORED] * (len(prompt) - 1) + text + [ids["<|endoftext|>"]]


def test_findings_name_what_does_not_fit(speech: CanaryModel) -> None:
    rows = [
        row(), row(language=None), row(language="es"), row(source_lang="en", target_lang="xx"), row(text="☃ oil"),
        row(text="oil " * 400), Utterance(Path("a.wav"), "oil", 41.0, "en"),
    ]  # fmt: skip
    good, no_language, spanish, target, unknown, long_text, long_clip = speech.findings(rows)
    assert good is None
    assert no_language is not None
    assert "source_lang" in no_language
    assert spanish is not None
    assert "'es' is not one the model has a token for" in spanish
    assert target is not None
    assert "'xx'" in target
    assert unknown is not None
    assert "no token for: '☃'" in unknown
    assert long_text is not None
    assert "tokens with its prompt" in long_text
    assert long_clip is not None
    assert "exceeds 40 s" in long_clip


def test_a_language_without_a_token_is_refused(tiny_nemo: dict[str, Path], speech: CanaryModel) -> None:
    with pytest.raises(InputError, match="has no token for language 'es'; it has de, en, fr, ru"):
        load(find(str(tiny_nemo["canary"])), language="es")
    with pytest.raises(InputError, match=r"t\.jsonl:1: no language is named"):
        speech.transcribe_batch([], [row(language=None)], DecodeOptions())
