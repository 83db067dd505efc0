"""Canary's prompts and answers, against NeMo's format by hand (tests/nemo/judge compares with NeMo itself)."""

from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from eartune.errors import InputError
from eartune.families.canary.load import load
from eartune.families.canary.model import CanaryModel
from eartune.families.canary.prompt import Prompts, slot_defaults
from eartune.families.registry import family
from eartune.manifest import Utterance
from eartune.model import IGNORED, DecodeOptions, PlacedUtterance
from tests.tiny_nemo import train_sentencepiece


def row(text: str = "check the oil", language: str | None = "en", **extra: Any) -> Utterance:
    return Utterance(audio=Path("a.wav"), text=text, duration_s=2.0, language=language, source="t.jsonl:1", extra=extra)


@pytest.fixture(scope="module")
def model(tiny_nemo: dict[str, Path]) -> CanaryModel:
    return load(family("canary").find(str(tiny_nemo["canary"])))


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


def test_only_the_answer_carries_loss(model: CanaryModel) -> None:
    labels = model.transcripts([row()]).labels([PlacedUtterance(0, 0.0, 2.0)], timestamps=False)
    ids = model.tokenizer.get_vocab()
    prompt = [
        "▁", "<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", "<|en|>", "<|en|>", "<|pnc|>",
        "<|noitn|>", "<|notimestamp|>", "<|nodiarize|>",
    ]  # fmt: skip
    assert labels.decoder_input_ids[: len(prompt)] == [ids[token] for token in prompt]
    text = model.tokenizer("check the oil", add_special_tokens=False).input_ids
    assert labels.decoder_input_ids[len(prompt) :] == text
    assert labels.targets == [IGNORED] * (len(prompt) - 1) + text + [ids["<|endoftext|>"]]


def test_an_empty_text_is_answered_by_the_end(model: CanaryModel) -> None:
    """NeMo's tokenizer writes the mark of a word's beginning before the end, as before any text."""
    labels = model.transcripts([row("")]).labels([PlacedUtterance(0, 0.0, 2.0)], timestamps=False)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=train_sentencepiece(canary=True))
    assert [target for target in labels.targets if target != IGNORED] == theirs.encode("<|endoftext|>")
    assert theirs.id_to_piece(theirs.encode("<|endoftext|>")) == ["▁", "<|endoftext|>"]
    assert model.findings([row("")]) == [None]
    assert model.remarks([row(), row("")]) == ["1 row has an empty text and is trained as no speech: t.jsonl:1"]


@pytest.mark.parametrize(
    ("utterance", "what"),
    [
        (row(source_lang="klingon"), "language 'klingon' is not one the model has a token for; it has de, en, fr, ru"),
        (row(source_lang=["en"]), "language ['en'] is not one"),
        (row(language="cnh"), "language 'cnh' is not one"),
        (row(pnc="perhaps"), "pnc is 'perhaps', which is neither yes nor no"),
        (row(timestamp="2024-05-01 10:00"), "timestamp is '2024-05-01 10:00', which is neither yes nor no"),
        (row(emotion="surprised"), "emotion is 'surprised', and the model has angry, happy, neutral, sad, undefined"),
        (row(decodercontext="<|en|> good"), "decodercontext holds '<|en|>'"),
        (row(decodercontext=7), "decodercontext is 7, not text"),
        (row(decodercontext="☃"), "has characters without a token"),
        (
            row(taskname="asr", source_lang="en", target_lang="de"),
            "'asr' transcribes, and the languages are en",
        ),
        (row(task="ast", source_lang="en", target_lang="en"), "task 'ast' translates, and the languages are en and en"),
        (row(decodercontext="oil " * 40), "shorten the prompt's decodercontext"),
        (row("oil " * 400), "cut the clip and its text"),
        (row("<|en|> check the oil"), "text holds '<|en|>', the symbol of a language"),
        (row("check the oil<|endoftext|>"), "text holds '<|endoftext|>'"),
        (row("check <unk> oil"), "text holds '<unk>'"),
        (row("<|0|> check <|5|>"), "text holds '<|0|>', a time, and the row does not ask for times"),
        (row("check <|spkchange|> oil"), "text holds '<|spkchange|>', a change of speakers"),
        (row("check the oil", timestamp="yes"), "timestamp is yes, and the text has no times"),
    ],
)
def test_a_row_that_cannot_be_asked_for_is_named(model: CanaryModel, utterance: Utterance, what: str) -> None:
    (finding,) = model.findings([utterance])
    assert what in (finding or "")


def test_before_decoding_prompts_are_checked_and_texts_are_not(model: CanaryModel) -> None:
    rows = [row(), row(language="cnh"), row("<|0|> ☃"), row(timestamp="yes")]
    assert [finding is None for finding in model.findings(rows, "decoding")] == [True, False, True, True]


def test_a_task_that_says_nothing_is_remarked(model: CanaryModel) -> None:
    assert model.findings([row(task="dictation")]) == [None]
    (remark,) = model.remarks([row(task="dictation"), row(taskname="reading")])
    assert remark == (
        "2 rows have tasks such as 'dictation', which Canary does not know and ignores (asr, ast), the first: t.jsonl:1"
    )


@pytest.mark.parametrize(
    ("text", "target", "is_odd"),
    [
        ("check the oil", "ru", True),
        ("проверьте масло", "ru", False),
        ("проверьте oil", "ru", False),
        ("проверьте масло", "en", True),
        ("42!", "ru", False),
        ("", "ru", False),
    ],
)
def test_a_text_in_another_script_than_its_language_is_remarked(
    model: CanaryModel, text: str, target: str, is_odd: bool
) -> None:
    found = model.remarks([row(text or "oil", source_lang="en", target_lang=target if text else "en")])
    assert any("of the script of its target language" in remark for remark in found) == is_odd


def test_a_run_that_translates_remarks_rows_that_do_not(tiny_nemo: dict[str, Path]) -> None:
    translating = load(family("canary").find(str(tiny_nemo["canary"])), task="translate")
    (remark,) = translating.remarks([row(language="de"), row("das Öl", source_lang="de", target_lang="de")])
    assert remark.startswith("1 row is not a translation, though the task is translate")


def test_findings_name_what_does_not_fit(model: CanaryModel) -> None:
    rows = [
        row(), row(language=None), row(language="es"), row(source_lang="en", target_lang="xx"), row(text="☃ oil"),
        row(text="oil " * 400), Utterance(Path("a.wav"), "oil", 41.0, "en"),
    ]  # fmt: skip
    good, no_language, spanish, target, unknown, long_text, long_clip = model.findings(rows)
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


def test_a_language_without_a_token_is_refused(tiny_nemo: dict[str, Path], model: CanaryModel) -> None:
    with pytest.raises(InputError, match="has no token for language 'es'; it has de, en, fr, ru"):
        load(family("canary").find(str(tiny_nemo["canary"])), language="es")
    with pytest.raises(InputError, match=r"t\.jsonl:1: no language is named"):
        model.transcribe_batch([], [row(language=None)], DecodeOptions())
