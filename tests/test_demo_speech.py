"""The bundled demo corpus is what its README says: voices and sentences of the test are new, every term is there."""

import json
import re
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "src" / "eartune" / "demo_speech"
SPLITS = ("train", "val", "test")


def read_manifest(split: str) -> list[dict]:
    return [json.loads(line) for line in (CORPUS / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def read_terms() -> list[str]:
    sentences = (ROOT / "scripts" / "demo_sentences.txt").read_text(encoding="utf-8")
    section = sentences.partition("[terms]\n")[2].partition("\n[")[0]
    return [line.partition(":")[0] for line in section.split("\n") if line]


MANIFESTS = {split: read_manifest(split) for split in SPLITS}
UTTERANCES = [utterance for split in SPLITS for utterance in MANIFESTS[split]]
TERMS = read_terms()


def values(split: str, key: str) -> set[str]:
    return {utterance[key] for utterance in MANIFESTS[split]}


def test_there_is_enough_speech_to_learn_from_and_to_score():
    assert len(MANIFESTS["train"]) >= 120
    assert len(MANIFESTS["val"]) >= 20
    assert len(MANIFESTS["test"]) >= 40
    assert len(values("train", "speaker")) >= 8


@pytest.mark.parametrize(("first", "second"), [("train", "val"), ("train", "test"), ("val", "test")])
@pytest.mark.parametrize("key", ["text", "speaker", "audio_filepath"])
def test_splits_share_nothing(first: str, second: str, key: str):
    assert values(first, key).isdisjoint(values(second, key))


@pytest.mark.parametrize("split", SPLITS)
def test_no_sentence_occurs_twice(split: str):
    assert len(values(split, "text")) == len(MANIFESTS[split])


@pytest.mark.parametrize(("split", "times"), [("train", 5), ("test", 2)])
def test_every_term_occurs_often_enough(split: str, times: int):
    words = [word for utterance in MANIFESTS[split] for word in re.findall(r"\w+", utterance["text"])]
    assert len(TERMS) >= 24
    assert {term: words.count(term) for term in TERMS if words.count(term) < times} == {}


def test_texts_are_sentences_without_digits():
    untidy = [u["text"] for u in UTTERANCES if not re.fullmatch(r"[A-Z][A-Za-z,' ]+\.", u["text"])]
    assert untidy == []
    assert [u["text"] for u in UTTERANCES if not 6 <= len(u["text"].split()) <= 16] == []


def test_texts_are_those_of_the_sentence_file():
    sentences = (ROOT / "scripts" / "demo_sentences.txt").read_text(encoding="utf-8").splitlines()
    assert [u["text"] for u in UTTERANCES] == [line for line in sentences if line.endswith(".") and line[0] != "#"]


def test_manifest_keys_and_order_are_the_same_on_every_line():
    assert {tuple(u) for u in UTTERANCES} == {("audio_filepath", "duration", "text", "lang", "speaker")}
    assert {u["lang"] for u in UTTERANCES} == {"en"}


def test_audio_is_16_khz_mono_and_as_long_as_the_manifest_says():
    for utterance in UTTERANCES:
        waveform, sample_rate_hz = soundfile.read(CORPUS / utterance["audio_filepath"])
        assert (sample_rate_hz, waveform.ndim) == (16_000, 1), utterance
        assert abs(len(waveform) / sample_rate_hz - utterance["duration"]) < 0.05, utterance
        assert 1 < utterance["duration"] < 8, utterance


def test_no_audio_file_is_left_over():
    named = {utterance["audio_filepath"] for utterance in UTTERANCES}
    assert {f"audio/{path.name}" for path in (CORPUS / "audio").iterdir()} == named


def test_corpus_is_small_enough_to_be_bundled():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) <= 6_000_000
