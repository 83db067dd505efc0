"""What the decoder reads and answers, token by token."""

from pathlib import Path

import pytest

from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.manifest import Utterance
from eartune.speech_model import IGNORED


def utterance(text: str, *, language: str | None = "en", duration_s: float = 2.0) -> Utterance:
    return Utterance(audio=Path("clip.wav"), text=text, duration_s=duration_s, language=language, source="m.jsonl:1")


@pytest.fixture(scope="module")
def multilingual(tiny_model: Path) -> WhisperModel:
    return load(find(str(tiny_model)))


@pytest.fixture(scope="module")
def english(tiny_english_model: Path) -> WhisperModel:
    return load(find(str(tiny_english_model)))


def tokens(model: WhisperModel, ids: list[int]) -> list[str]:
    return ["-" if token == IGNORED else model.tokenizer.convert_ids_to_tokens(token) for token in ids]


def test_multilingual_prompt_language_and_end(multilingual: WhisperModel) -> None:
    labels = multilingual.labels(utterance("Привет", language="ru"))
    read, answered = (tokens(multilingual, ids) for ids in (labels.decoder_input_ids, labels.targets))
    assert read[:4] == ["<|startoftranscript|>", "<|ru|>", "<|transcribe|>", "<|notimestamps|>"]
    # the language is learnt, task and timestamps are the caller's choice
    assert answered[:3] == ["<|ru|>", "-", "-"]
    assert answered[3:-1] == read[4:]
    assert answered[-1] == "<|endoftext|>"


def test_english_prompt_has_neither_language_nor_task(english: WhisperModel) -> None:
    labels = english.labels(utterance("Hello there", language=None))
    assert tokens(english, labels.decoder_input_ids) == [
        "<|startoftranscript|>",
        "<|notimestamps|>",
        "ĠHello",
        "Ġthere",
    ]
    assert tokens(english, labels.targets) == ["-", "ĠHello", "Ġthere", "<|endoftext|>"]


def test_translation_has_its_own_task_token(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)), task="translate")
    labels = model.labels(utterance("Hello", language="ru"))
    assert tokens(model, labels.decoder_input_ids)[1:3] == ["<|ru|>", "<|translate|>"]


def test_the_language_of_the_run_is_for_rows_without_one(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)), language="as")
    assert tokens(model, model.labels(utterance("x", language=None)).decoder_input_ids)[1] == "<|as|>"
    assert tokens(model, model.labels(utterance("x", language="de")).decoder_input_ids)[1] == "<|de|>"


@pytest.mark.parametrize(("code", "token"), [("jv", "<|jw|>"), ("nb", "<|no|>"), ("ru", "<|ru|>")])
def test_iso_codes_that_whisper_spells_otherwise(multilingual: WhisperModel, code: str, token: str) -> None:
    row = utterance("x", language=code)
    assert multilingual.findings([row]) == [None]
    assert tokens(multilingual, multilingual.labels(row).decoder_input_ids)[1] == token


@pytest.mark.parametrize(("language", "text", "first"), [("en", " Hello ", "ĠHello"), ("zh", " 你好 ", "ä½łå¥½")])
def test_texts_begin_as_whisper_writes_them(multilingual: WhisperModel, language: str, text: str, first: str) -> None:
    assert tokens(multilingual, multilingual.labels(utterance(text, language=language)).targets)[3] == first


def test_a_transcript_that_spells_a_special_token_means_the_letters(multilingual: WhisperModel) -> None:
    labels = multilingual.labels(utterance("say <|endoftext|> now"))
    assert labels.targets.count(multilingual.tokenizer.eos_token_id) == 1
    assert multilingual.tokenizer.decode(labels.targets[3:-1]) == " say <|endoftext|> now"


def test_findings_by_limit(multilingual: WhisperModel, english: WhisperModel) -> None:
    fits = utterance("fine")
    cases = [
        (multilingual, utterance("x", duration_s=30.01), "30.0 s exceeds Whisper's 30 s"),
        (multilingual, utterance("x", language=None), "no language is named"),
        (multilingual, utterance("x", language="xx"), "'xx' is not one the model has a token for"),
        (multilingual, utterance("word " * 445), "text is 449 tokens with its prompt, and Whisper reads 448"),
        (english, utterance("x", language="ru"), "the model is English-only"),
    ]
    for model, bad, reason in cases:
        first, second = model.findings([fits, bad])
        assert first is None
        assert reason in (second or "")


def test_exactly_448_tokens_and_30_seconds_fit(multilingual: WhisperModel) -> None:
    longest = utterance("word " * 444, duration_s=30.0)
    assert multilingual.findings([longest]) == [None]
    assert len(multilingual.labels(longest).decoder_input_ids) == 448
