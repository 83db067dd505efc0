"""What the decoder reads and answers, token by token."""

from pathlib import Path

import pytest

from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.manifest import Utterance
from eartune.speech_model import IGNORED, Labels, Spoken


def utterance(text: str, *, language: str | None = "en", duration_s: float = 2.0) -> Utterance:
    return Utterance(audio=Path("clip.wav"), text=text, duration_s=duration_s, language=language, source="m.jsonl:1")


@pytest.fixture(scope="module")
def multilingual(tiny_model: Path) -> WhisperModel:
    return load(find(str(tiny_model)))


@pytest.fixture(scope="module")
def english(tiny_english_model: Path) -> WhisperModel:
    return load(find(str(tiny_english_model)))


def labels_of(model: WhisperModel, *spoken: Utterance, timestamps: bool = False) -> Labels:
    """Label utterances that follow each other in one window, half a second apart."""
    placed, end_s = [], 0.0
    for index, row in enumerate(spoken):
        placed.append(Spoken(index, end_s, end_s + row.duration_s))
        end_s += row.duration_s + 0.5
    return model.transcripts(spoken).labels(placed, timestamps=timestamps)


def tokens(model: WhisperModel, ids: list[int]) -> list[str]:
    return ["-" if token == IGNORED else model.tokenizer.convert_ids_to_tokens(token) for token in ids]


def test_multilingual_prompt_language_and_end(multilingual: WhisperModel) -> None:
    labels = labels_of(multilingual, utterance("Привет", language="ru"))
    read, answered = (tokens(multilingual, ids) for ids in (labels.decoder_input_ids, labels.targets))
    assert read[:4] == ["<|startoftranscript|>", "<|ru|>", "<|transcribe|>", "<|notimestamps|>"]
    # the language is learnt, task and timestamps are the caller's choice
    assert answered[:3] == ["<|ru|>", "-", "-"]
    assert answered[3:-1] == read[4:]
    assert answered[-1] == "<|endoftext|>"


def test_english_prompt_has_neither_language_nor_task(english: WhisperModel) -> None:
    labels = labels_of(english, utterance("Hello there", language=None))
    assert tokens(english, labels.decoder_input_ids) == [
        "<|startoftranscript|>",
        "<|notimestamps|>",
        "ĠHello",
        "Ġthere",
    ]
    assert tokens(english, labels.targets) == ["-", "ĠHello", "Ġthere", "<|endoftext|>"]


def test_translation_has_its_own_task_token(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)), task="translate")
    labels = labels_of(model, utterance("Hello", language="ru"))
    assert tokens(model, labels.decoder_input_ids)[1:3] == ["<|ru|>", "<|translate|>"]


def test_the_language_of_the_run_is_for_rows_without_one(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)), language="as")
    assert tokens(model, labels_of(model, utterance("x", language=None)).decoder_input_ids)[1] == "<|as|>"
    assert tokens(model, labels_of(model, utterance("x", language="de")).decoder_input_ids)[1] == "<|de|>"


@pytest.mark.parametrize(("code", "token"), [("jv", "<|jw|>"), ("nb", "<|no|>"), ("ru", "<|ru|>")])
def test_iso_codes_that_whisper_spells_otherwise(multilingual: WhisperModel, code: str, token: str) -> None:
    row = utterance("x", language=code)
    assert multilingual.findings([row]) == [None]
    assert tokens(multilingual, labels_of(multilingual, row).decoder_input_ids)[1] == token


@pytest.mark.parametrize(("language", "text", "first"), [("en", " Hello ", "ĠHello"), ("zh", " 你好 ", "ä½łå¥½")])
def test_texts_begin_as_whisper_writes_them(multilingual: WhisperModel, language: str, text: str, first: str) -> None:
    assert tokens(multilingual, labels_of(multilingual, utterance(text, language=language)).targets)[3] == first


def test_a_transcript_that_spells_a_special_token_means_the_letters(multilingual: WhisperModel) -> None:
    labels = labels_of(multilingual, utterance("say <|endoftext|> now"))
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
    assert len(labels_of(multilingual, longest).decoder_input_ids) == 448


def test_packed_clips_with_timestamps_read_as_openai_writes_them(multilingual: WhisperModel) -> None:
    first, second = utterance("Hello there", duration_s=2.503), utterance("you", duration_s=1.0)
    labels = labels_of(multilingual, first, second, timestamps=True)
    written = "<|startoftranscript|><|en|><|transcribe|><|0.00|> Hello there<|2.50|><|3.00|> you<|4.00|><|endoftext|>"
    expected = multilingual.tokenizer(written, add_special_tokens=False).input_ids
    assert labels.decoder_input_ids == expected[:-1]
    # the language is learnt, the task is given, and whether there are times is learnt from the times themselves
    assert labels.targets == [expected[1], IGNORED, *expected[3:]]


def test_packed_clips_without_timestamps_are_one_text(multilingual: WhisperModel, english: WhisperModel) -> None:
    for model, count in ((multilingual, 4), (english, 2)):
        labels = labels_of(model, utterance("Hello there"), utterance("you"))
        assert tokens(model, labels.decoder_input_ids)[count:] == ["ĠHello", "Ġthere", "Ġyou"]
        assert len(labels.targets) == len(labels.decoder_input_ids)


def test_the_timestamps_of_english_models(english: WhisperModel) -> None:
    labels = labels_of(english, utterance("Hello"), timestamps=True)
    assert tokens(english, labels.decoder_input_ids) == ["<|startoftranscript|>", "<|0.00|>", "ĠHello", "<|2.00|>"]
    assert tokens(english, labels.targets) == ["<|0.00|>", "ĠHello", "<|2.00|>", "<|endoftext|>"]


def test_what_a_transcript_takes_of_a_shared_window(multilingual: WhisperModel) -> None:
    rows = [utterance("Hello there"), utterance("you")]
    texts = multilingual.transcripts(rows)
    taken = sum(texts.num_tokens(index) for index in range(2))
    longest = len(labels_of(multilingual, *rows, timestamps=True).decoder_input_ids)
    # with the prompt and the end of text
    assert taken + 3 == longest
    assert multilingual.max_window_tokens + 4 == 448
