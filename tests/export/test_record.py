"""parity.json: of any age it is read as it was written, and a card can be made of it; damaged ones are refused."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eartune.errors import InputError
from eartune.export.card import card
from eartune.export.evaluation import read_evaluation
from eartune.export.gate import Gate
from eartune.export.hub import public_record
from eartune.export.parity import Cost, compare
from eartune.export.parity_record import ParityRecord
from eartune.export.record import ExportRecord, read_record, write_record
from tests.old_records import OTHER_VALUES, PARITY, RATES, SCORES, changes, refusal_of


def read(folder: Path, content: Any) -> ExportRecord | None:
    (folder / "parity.json").write_text(json.dumps(content), encoding="utf-8")
    return read_record(folder)


def show(folder: Path, content: Any) -> str:
    """Do what is done with a record: a card, and what of it may be public."""
    record = read(folder, content)
    assert record is not None
    public_record(record)
    return card(record, title="pumps", usages=[], evaluations={})


LONG = PARITY["parity"]["long_recording"]
OLDER = {
    "as it is": PARITY,
    "unverified": {**PARITY, "parity": None, "sample": None, "skipped": "openai-whisper is not installed"},
    "without a stand-in": {k: v for k, v in PARITY.items() if k != "language_token"},
    "of the first version": {
        **{k: v for k, v in PARITY.items() if k != "language_token"},
        "parity": {
            **PARITY["parity"],
            "long_recording": {
                "artefact": {k: v for k, v in LONG["artefact"].items() if k != "share_of_edges"},
                "model": {k: v for k, v in LONG["model"].items() if k != "share_of_edges"},
                "base_model": None,
            },
        },
    },
    "of a model of which nothing is known": {
        **PARITY,
        "made_from": {k: PARITY["made_from"][k] for k in ("model", "base_model")} | {"checkpoint": None},
    },
    "with keys that are not known": {**PARITY, "licence": "mit", "runtime": {**PARITY["runtime"], "threads": 2}},
}


@pytest.mark.parametrize("name", OLDER)
def test_what_was_written_before_is_read_and_written_again_with_the_same_keys(name: str, tmp_path: Path) -> None:
    record = read(tmp_path, OLDER[name])
    assert record is not None
    write_record(tmp_path / "parity.json", record)
    assert json.loads((tmp_path / "parity.json").read_text(encoding="utf-8")) == OLDER[name]
    assert "## Configuration" in show(tmp_path, OLDER[name]) or name == "of a model of which nothing is known"


def test_an_export_that_lies_alone_has_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "model.bin") is None


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_any_key_that_is_missing_or_of_another_type_is_shown_or_named_in_one_line(value: str, tmp_path: Path) -> None:
    for place, changed in changes(PARITY, OTHER_VALUES[value]):
        refusal = refusal_of(partial(show, tmp_path, changed))
        if refusal is not None:
            assert refusal.startswith(f"{tmp_path / 'parity.json'}: "), place
            # of an interval with one value the interval is named
            assert place.removesuffix("[0]").removesuffix("[1]") in refusal, place
            assert "\n" not in refusal, place


DAMAGED = [
    (
        {**PARITY, "record_format": None},
        "record_format is None, and should be a valid integer; it should say",
    ),
    ({**PARITY, "record_format": "1"}, "record_format is '1', and should be a valid integer"),
    ({**PARITY, "record_format": [1]}, "record_format is a list, and should be a valid integer"),
    (
        {**PARITY, "record_format": 2, "files": None},
        r"was written by a newer eartune \(record_format 2\); update eartune",
    ),
    ({**PARITY, "task": "sing"}, "task is 'sing', and should be 'transcribe' or 'translate'"),
    ({**PARITY, "family": "wav2vec"}, "family is 'wav2vec', and should be one of whisper, canary, parakeet"),
    ({**PARITY, "files": [{"name": "model.bin"}]}, r"has no files\[0\]\.size_bytes"),
    ({**PARITY, "parity": 3}, "parity is 3, and should be a valid mapping"),
    ([], "is a list, and should be a valid mapping"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED, ids=range(len(DAMAGED)))
def test_what_is_wrong_is_named_with_what_it_should_be(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"parity\.json: {message}"):
        read(tmp_path, content)


def test_what_is_public_names_no_folder_and_holds_no_sentence_and_is_read_again(tmp_path: Path) -> None:
    record = read(tmp_path, PARITY)
    assert record is not None
    public = public_record(record)
    told = json.dumps(public.to_json())
    assert "/home/anna" not in told
    assert "the queen is dead" not in told
    source = public.to_json()["made_from"]
    assert (source["model"], source["base_model"]["spec"]) == ("lora", "tiny-random.pt")
    assert source.keys() == PARITY["made_from"].keys() - {"config"}
    assert source["data"]["val"]["manifests"] == public.to_json()["sample"]["manifests"] == ["speech.jsonl"]
    assert record.to_json() == PARITY
    assert read(tmp_path, public.to_json()) == public


def test_an_id_on_the_hub_is_public(tmp_path: Path) -> None:
    base = {**PARITY["made_from"]["base_model"], "spec": "openai/whisper-tiny", "kind": "hub"}
    record = read(tmp_path, {**PARITY, "made_from": {**PARITY["made_from"], "base_model": base}})
    assert record is not None
    assert public_record(record).made_from.base_model.spec == "openai/whisper-tiny"


def test_logits_that_are_not_numbers_are_a_failure_on_record() -> None:
    cost = Cost(load_s=1.0, decode_s=1.0, speech_s=1.0, peak_memory_bytes=None, size_bytes=1)
    same = compare(["a b"], ["a b"], ["a b"], languages=["en"], quantization="f16", cost=cost)
    gate = Gate(same, math.nan, long=None, model_long=None, base_long=None)
    record = ParityRecord.model_validate(gate.to_json())
    assert (record.passes, record.logit_distance) == (False, None)
    assert record.failures == ["its logits differ from the model's by nan, the limit is 0.05"]


def test_the_card_has_what_is_on_record(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps(SCORES))
    record = read(tmp_path, PARITY)
    assert record is not None
    text = card(record, title="pumps", usages=[], evaluations={"test": read_evaluation(tmp_path / "scores.json")})
    for told in (
        "- tuned: by lora, checkpoint `best`",
        "| `model-float32.pt` | 144.1 MiB | `8c3aa065cc7c35cbefb6a0bc2d0dd21a` |",
        "| test | 4 | base | 20.00 % (17.4 to 23.5) | 5.71 % (4.2 to 7.3) |",
        "| test | 4 | tuned | 20.00 % (17.4 to 23.5) | 5.71 % (4.2 to 7.3) |",
        "| WER of the model / of this file, 2 utterances | 20.00 % (18.2 to 22.2) / 20.00 % (18.2 to 22.2) |",
        "| sentences that differ | 1 of 2 |",
        "| memory | 174 MiB |",
        "; 0 windows decoded again |",
        "with a sample of the validation speech.",
        "| train | speech.jsonl | 4 | 0.00 | `82301f0c94c3ed20…` |",
        "learning_rate: 0.0005",
    ):
        assert told in text


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_damaged_scores_are_named_in_one_line(value: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    record = ExportRecord.model_validate(PARITY)
    for place, changed in changes(SCORES, OTHER_VALUES[value]):
        path.write_text(json.dumps(changed))
        refusal = refusal_of(partial(read_evaluation, path))
        if refusal is None:
            card(record, title="pumps", usages=[], evaluations={"test": read_evaluation(path)})
        else:
            assert refusal.startswith(f"{path}: "), place
            assert "\n" not in refusal, place


def test_an_interval_has_two_ends(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"model": "m", "scores": {**RATES, "wer_interval_95": [0.1]}}))
    with pytest.raises(InputError, match=r"scores\.wer_interval_95 is a list, and should be \[low, high\]; delete"):
        read_evaluation(path)


def test_scores_of_the_first_version_and_of_silence_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    first = {k: v for k, v in RATES.items() if k != "unit"}
    silence = {**RATES, **dict.fromkeys(("wer", "wer_interval_95", "cer", "cer_interval_95"))}
    path.write_text(json.dumps({"model": "runs/pumps (best/)", "scores": first, "base_scores": silence}))
    found = read_evaluation(path)
    assert found.scores.unit == "word"
    assert found.base_scores is not None
    assert found.base_scores.wer is None
