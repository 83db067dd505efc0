"""What the decoder reads and answers, token by token."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import get_tokenizer

from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.manifest import Segment, Utterance
from eartune.model import IGNORED, Labels, PlacedUtterance


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
        placed.append(PlacedUtterance(index, end_s, end_s + row.duration_s))
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
    assert multilingual.window.max_tokens + 4 == 448


def timed(*parts: tuple[float, float, str], text: str | None = None, duration_s: float = 5.0) -> Utterance:
    """Make an utterance of sentences with times."""
    segments = tuple(Segment(*part) for part in parts)
    joined = " ".join(part[2] for part in parts) if text is None else text
    return replace(utterance(joined, duration_s=duration_s), segments=segments)


def test_times_of_sentences_are_trained_where_the_clip_lies(multilingual: WhisperModel) -> None:
    first = utterance("Hello", duration_s=2.0)
    second = timed((0.5, 1.21, "Good morning."), (1.5, 4.98, "It is cold"))
    labels = labels_of(multilingual, first, second, timestamps=True)
    written = (
        "<|startoftranscript|><|en|><|transcribe|><|0.00|> Hello<|2.00|>"
        "<|3.00|> Good morning.<|3.72|><|4.00|> It is cold<|7.48|><|endoftext|>"
    )
    expected = multilingual.tokenizer(written, add_special_tokens=False).input_ids
    assert labels.decoder_input_ids == expected[:-1]
    assert labels.targets == [expected[1], IGNORED, *expected[3:]]


def test_without_timestamps_sentences_are_one_text(multilingual: WhisperModel) -> None:
    second = timed((0.5, 1.2, "Good morning."), (1.5, 4.98, "It is cold"))
    found = labels_of(multilingual, second)
    assert found == labels_of(multilingual, utterance("Good morning. It is cold"))


def test_sentences_count_two_timestamps_each(multilingual: WhisperModel) -> None:
    rows = [timed((0, 1, "Hello"), (1, 2, "you")), timed((0, 1, "Hello"), (1, 2, ""), (2, 3, "there"))]
    texts = multilingual.transcripts(rows)
    assert [texts.num_tokens(index) for index in range(2)] == [6, 6]
    labels = texts.labels([PlacedUtterance(0, 0, 5), PlacedUtterance(1, 6, 11)], timestamps=True)
    assert len(labels.decoder_input_ids) == 3 + 6 + 6


def test_a_last_time_just_past_the_clip_is_its_end(multilingual: WhisperModel) -> None:
    row = timed((0.0, 2.05, "Hello"), duration_s=2.0)
    assert multilingual.findings([row]) == [None]
    assert tokens(multilingual, labels_of(multilingual, row, timestamps=True).targets)[-2] == "<|2.00|>"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (timed((0.0, 1.0, "a"), (4.0, 5.2, "b")), "sentence 2 ends at 5.20 s, and the clip is 5.00 s long"),
        (timed((-0.5, 1.0, "a")), "sentence 1 begins at -0.50 s, before the clip"),
        (timed((0.0, 1.5, "a"), (1.0, 2.0, "b")), "sentence 2 begins at 1.00 s, before sentence 1 ends (1.50 s)"),
        (timed((2.0, 3.0, "a"), (0.0, 1.0, "b")), "sentence 2 begins at 0.00 s, before sentence 1 ends"),
        (timed((1.0, 1.0, "a")), "sentence 1 begins at 1.00 s and ends at 1.00 s"),
        (timed((0.0, 1.0, "a"), text="a b"), "its sentences joined are not its text"),
    ],
)
def test_times_of_sentences_that_cannot_be_are_named(multilingual: WhisperModel, row: Utterance, reason: str) -> None:
    assert reason in (multilingual.findings([row])[0] or "")


def test_spaces_between_sentences_do_not_count(multilingual: WhisperModel) -> None:
    assert multilingual.findings([timed((0.0, 1.0, "你好"), (1.0, 2.0, "世界"), text="你好世界")]) == [None]


def test_times_that_would_exceed_the_longest_text_are_left_out(multilingual: WhisperModel) -> None:
    labels = labels_of(multilingual, utterance("word " * 444, duration_s=30.0), timestamps=True)
    assert len(labels.decoder_input_ids) == 448
    assert tokens(multilingual, labels.decoder_input_ids)[3] == "<|notimestamps|>"


@pytest.mark.parametrize("timestamps", [False, True])
def test_no_speech_is_answered_in_place_of_the_language(
    multilingual: WhisperModel, english: WhisperModel, timestamps: bool
) -> None:
    """Whose number is <|nospeech|> openai-whisper says; with a language given, nothing is written."""
    for model, is_multilingual, count in ((multilingual, True, 2), (english, False, 0)):
        no_speech = get_tokenizer(is_multilingual).no_speech
        rows = [utterance(""), utterance(" ")]
        labels = labels_of(model, *rows, timestamps=timestamps)
        assert labels.decoder_input_ids == model.labeler.prompt("en")
        assert labels.targets == [no_speech, *[IGNORED] * count, model.tokenizer.eos_token_id]
        assert model.transcripts(rows).num_tokens(0) == 0


@pytest.mark.parametrize("timestamps", [False, True])
def test_no_speech_beside_speech_is_a_pause(multilingual: WhisperModel, timestamps: bool) -> None:
    rows = [utterance("Hello"), utterance(""), utterance("you")]
    texts = multilingual.transcripts(rows)
    first, pause, last = PlacedUtterance(0, 0.0, 2.0), PlacedUtterance(1, 2.5, 4.5), PlacedUtterance(2, 5.0, 7.0)
    with_pause = texts.labels([first, pause, last], timestamps=timestamps)
    assert with_pause == texts.labels([first, last], timestamps=timestamps)


SYMBOLS = ["<|en|>", "<|0.00|>", "<|29.98|>", "<|endoftext|>", "<|notimestamps|>", "<|startofprev|>", "<|nospeech|>"]


@pytest.mark.parametrize("symbol", [*SYMBOLS, "<|5|>", "<|speaker1|>", "<|nocaptions|>"])
def test_special_tokens_in_texts_are_named(multilingual: WhisperModel, english: WhisperModel, symbol: str) -> None:
    for model in (multilingual, english):
        assert symbol in (model.findings([utterance(f"say {symbol} now")])[0] or "")


@given(parts=st.lists(st.one_of(st.sampled_from([*SYMBOLS, "<|", "|>", " "]), st.text(max_size=8)), max_size=6))
def test_no_text_holds_a_special_token(multilingual: WhisperModel, parts: list[str]) -> None:
    """The tokens are those of openai-whisper's vocabulary of letters, whatever the text spells."""
    text = "".join(parts).strip()
    found = multilingual.transcripts([utterance(text)]).texts[0]
    expected = get_tokenizer(True).encode(f" {text}", disallowed_special=()) if text else []
    assert list(found) == expected
    assert max(found, default=0) < get_tokenizer(True).eot


def test_marks_and_empty_texts_are_told_with_their_number(multilingual: WhisperModel) -> None:
    rows = [utterance("a [BLANK_AUDIO] b"), utterance("fine"), utterance("<unk>"), utterance("")]
    assert multilingual.findings(rows) == [None] * 4
    assert multilingual.remarks(rows) == [
        "1 row has an empty text and is trained as no speech: m.jsonl:1",
        "2 rows are trained to write marks as letters, such as [BLANK_AUDIO], which Whisper's decoding never writes "
        "(remove such marks), the first: m.jsonl:1",
    ]


def test_a_translation_is_written_as_english(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)), task="translate")
    rows = [utterance("Good morning.", language="ja"), utterance("おはよう", language="ja")]
    assert tokens(model, labels_of(model, rows[0]).targets)[3] == "ĠGood"
    assert [model.labeler.text_language(row) for row in rows] == ["en", "en"]
    assert model.remarks(rows) == [
        "1 row is not in Latin letters and is trained as a translation into English (for transcripts set "
        "--task transcribe): m.jsonl:1"
    ]


def test_a_language_without_a_token_is_trained_with_its_stand_in(tiny_model: Path) -> None:
    rows = [utterance("Kalei", language="cnh"), utterance("Салам", language="ky"), utterance("x", language="ru")]
    model = load(find(str(tiny_model)), language_token="cnh=my,Kazakh")
    assert model.findings(rows) == [None] * 3
    found = [tokens(model, labels_of(model, row).decoder_input_ids)[1] for row in rows]
    assert found == ["<|my|>", "<|kk|>", "<|ru|>"]
    assert [model.languages(row).decoding for row in rows] == ["cnh", "ky", "ru"]
    assert model.remarks(rows) == [
        "1 row is in cnh and is trained with the token <|my|>: m.jsonl:1",
        "1 row is in ky and is trained with the token <|kk|>: m.jsonl:1",
    ]


@pytest.mark.parametrize("language", ["cnh", "ky"])
def test_a_language_without_a_token_is_told_the_way_on(multilingual: WhisperModel, language: str) -> None:
    found = multilingual.findings([utterance("x", language=language)])[0] or ""
    assert f"language '{language}' is not one the model has a token for" in found
    assert "--language-token" in found


@pytest.mark.parametrize(
    ("task", "languages", "said"),
    [
        ("transcribe", ("de", "en"), "the row is a translation from 'de' into 'en': train it with --task translate"),
        ("transcribe", ("de", "fr"), "a Whisper translates into English only"),
        ("translate", ("de", "fr"), "a Whisper translates into English only"),
        ("translate", ("de", "en"), None),
        ("transcribe", ("de", "de-DE"), None),
        ("transcribe", ("de", None), None),
    ],
)
def test_rows_of_translations_in_canarys_keys(
    tiny_model: Path, task: str, languages: tuple[str, str | None], said: str | None
) -> None:
    model = load(find(str(tiny_model)), task=task)
    row = replace(
        utterance("hello", language="de"), extra=dict(zip(("source_lang", "target_lang"), languages, strict=True))
    )
    for (found,) in (model.findings([row]), model.findings([row], "decoding")):
        assert (found is None) if said is None else (found is not None and said in found)


def test_a_language_without_a_token_is_told_before_decoding(multilingual: WhisperModel) -> None:
    (found,) = multilingual.findings([utterance("x", language="cnh")], "decoding")
    assert found is not None
    assert "--language-token" in found
