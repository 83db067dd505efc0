"""Exports as a user asks for them: tried in their programs, put in place whole, or refused with what was found."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eartune.errors import EartuneError, InputError
from eartune.families.whisper.load import find, load
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions
from eartune.verbs.evaluate import evaluate
from eartune.verbs.export import export
from eartune.verbs.open_model import locate
from eartune.verbs.sample import DEMO_SPEECH
from eartune.verbs.transcribe import transcribe
from tests.verbs.test_export import tuned

pytest.importorskip("faster_whisper")

pytestmark = pytest.mark.runtimes


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of four of the demonstration's sentences."""
    utterances = read_manifest([DEMO_SPEECH / "val.jsonl"]).utterances[:4]
    rows = [{"audio_filepath": str(u.audio), "duration": u.duration_s, "text": u.text} for u in utterances]
    manifest = tmp_path_factory.mktemp("speech") / "speech.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def train_quickly(model: Path, speech: Path, out: Path, **options: Any) -> Path:
    return tuned(
        model, speech, out, val=[str(speech)], eval_strategy="no", per_device_train_batch_size=2, max_steps=2, **options
    )


@pytest.fixture(scope="module")
def trained(real_tiny_en: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    return train_quickly(real_tiny_en, speech, out, method="lora", lr=1e-4, lora_r=4)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_run_is_exported_with_record_and_card(run: Path, speech: Path) -> None:
    [exported] = export(str(run), to=["ctranslate2"], quantize=["float32"], num_utterances=2)
    folder = run / "export" / "ctranslate2-float32"
    assert exported.path == folder
    assert exported.gate is not None
    assert exported.gate.parity.num_differing == 0
    assert exported.gate.logit_distance is not None
    assert exported.gate.logit_distance < 1e-3
    record = json.loads((folder / "parity.json").read_text())
    assert record["parity"]["passes"]
    assert record["runtime"]["program"] == "faster-whisper"
    assert record["sample"]["what"] == "the validation speech"
    assert record["sample"]["manifests"] == [str(speech)]
    assert record["made_from"]["checkpoint"] == "last"
    assert record["made_from"]["method"] == "lora"
    assert {file["name"] for file in record["files"]} >= {"model.bin", "tokenizer.json", "preprocessor_config.json"}
    assert record["parity"]["long_recording"]["base_model"] is not None
    card = (folder / "README.md").read_text()
    for told in ("by lora", "faster-whisper", "speech.jsonl", record["files"][0]["sha256"], "WhisperModel("):
        assert told in card
    assert str(run.parent) not in card, "where files lie on this machine concerns nobody"


WAYS = {
    "full": {"method": "full", "lr": 1e-5},
    "dora": {"method": "lora", "use_dora": True, "lora_r": 4, "lr": 1e-3},
    "pissa": {"method": "lora", "init_lora_weights": "pissa", "lora_r": 4, "lr": 1e-4},
}


@pytest.mark.parametrize("way", WAYS)
def test_however_it_was_tuned_the_export_says_what_it_says(
    way: str, real_tiny_en: Path, speech: Path, tmp_path: Path
) -> None:
    run = train_quickly(real_tiny_en, speech, tmp_path / "run", **WAYS[way])
    [exported] = export(str(run), to=["ctranslate2"], quantize=["float32"], num_utterances=3, against_base=False)
    assert exported.gate is not None
    assert exported.gate.parity.num_differing == 0
    assert exported.gate.logit_distance is not None
    assert exported.gate.logit_distance < 1e-3


@pytest.fixture(scope="module")
def never_the(real_tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose generation settings keep it from writing "the"; openai-whisper has settings of its own."""
    folder = tmp_path_factory.mktemp("models") / "model"
    model = load(find(str(real_tiny_en)))
    model.save(folder)
    never = [token for word in (" the", " The") for token in model.tokenizer.encode(word, add_special_tokens=False)]
    settings = folder / "generation_config.json"
    found = json.loads(settings.read_text())
    settings.write_text(json.dumps(found | {"suppress_tokens": found["suppress_tokens"] + never}))
    return folder


def test_what_says_other_words_is_not_put_in_place(never_the: Path, speech: Path, tmp_path: Path) -> None:
    model, out = Path(shutil.copytree(never_the, tmp_path / "model")), tmp_path / "out"
    with pytest.raises(EartuneError, match=r"of the words differ from the model's.*nothing was written but"):
        export(str(model), to=["openai"], data=[speech], num_utterances=2, out=out)
    left = tmp_path / "out.failed-parity.json"
    assert sorted(tmp_path.iterdir()) == [model, left]
    found = json.loads(left.read_text())
    assert not found["parity"]["passes"]
    differing = found["parity"]["words"]["differing"][0]
    assert "the" in differing["artefact"].lower().split()
    assert "the" not in differing["model"].lower().split()
    settings = model / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"suppress_tokens": []}))
    export(str(model), to=["openai"], data=[speech], num_utterances=2, out=out)
    assert sorted(tmp_path.iterdir()) == [model, out], "it is no longer so"


def test_one_that_fails_leaves_the_others(never_the: Path, speech: Path, tmp_path: Path) -> None:
    """A folder of transformers holds the settings."""
    with pytest.raises(EartuneError, match=r"^openai-float16: .*of the words differ from the model's"):
        export(str(never_the), to=["openai", "hf"], data=[speech], num_utterances=2, out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "hf", "openai-float16.failed-parity.json",
    ]  # fmt: skip


def test_a_program_that_is_missing_is_named_and_the_export_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "_pywhispercpp", None)
    [exported] = export(str(run), to=["ggml"], num_utterances=2, out=tmp_path / "out")
    assert exported.gate is None
    assert exported.path.name == "ggml-model-f16.bin"
    record = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert record["parity"] is None
    assert record["skipped"] == "whisper.cpp is not installed; pip install 'eartune[whisper-cpp]'"
    assert "Not verified in whisper.cpp: whisper.cpp is not installed" in (tmp_path / "out" / "README.md").read_text()


def test_the_folder_of_a_pt_file_is_evaluated_as_the_file(run: Path, speech: Path, tmp_path: Path) -> None:
    [exported] = export(str(run), to=["openai"], quantize=["float32"], out=tmp_path / "openai", judged=False)
    located = locate(str(tmp_path / "openai"))
    assert (located.base.path, located.language) == (exported.path, "en")
    of_run = evaluate(str(run), data=[speech], out=tmp_path / "a", against_base=False)
    of_export = evaluate(str(tmp_path / "openai"), data=[speech], out=tmp_path / "b", against_base=False)
    assert of_export.tuned.hypotheses == of_run.tuned.hypotheses


def test_a_file_that_is_named_is_the_file_and_its_record_lies_beside(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.pt"
    [exported] = export(str(run), to=["openai"], num_utterances=2, out=out)
    assert exported.path == out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.pt", "mine.pt.parity.json", "run"]
    with pytest.raises(InputError, match=r"mine\.pt: is there already; --overwrite replaces it"):
        export(str(run), to=["openai"], out=out)
    export(str(run), to=["openai"], num_utterances=2, out=out, replace=True)


def test_mimir_gets_its_name_and_its_lines(run: Path, tmp_path: Path) -> None:
    [exported] = export(
        str(run), for_app="mimir", quantize=["q5_0"], num_utterances=2, out=tmp_path / "m", judged=False
    )
    assert exported.path == tmp_path / "m" / "whisper-english-ggml.bin"
    assert "whisper-english-ggml.bin" in (tmp_path / "m" / "MIMIR.md").read_text()


def test_an_export_is_evaluated_and_transcribes_in_its_program(run: Path, speech: Path, tmp_path: Path) -> None:
    [exported] = export(str(run), to=["ctranslate2"], quantize=["float32"], num_utterances=2)
    of_run = evaluate(str(run), data=[speech], out=tmp_path / "a", against_base=False)
    of_export = evaluate(str(exported.path), data=[speech], out=tmp_path / "b")
    assert of_export.base is None
    assert of_export.tuned.hypotheses == of_run.tuned.hypotheses
    with pytest.raises(InputError, match=r"--num-beams: is for models, and .* is decoded greedily by its own runtime"):
        evaluate(str(exported.path), data=[speech], out=tmp_path / "c", options=DecodeOptions(num_beams=2))
    clip = read_manifest([speech]).utterances[0].audio
    [of_run_heard] = transcribe(str(run), [clip])
    [heard] = transcribe(str(exported.path), [clip])
    assert heard.text == of_run_heard.text


def test_without_validation_speech_the_sample_is_said_to_be_another(run: Path, tmp_path: Path) -> None:
    origin = json.loads((run / "last" / "origin.json").read_text())
    del origin["data"]["val"]
    (run / "last" / "origin.json").write_text(json.dumps(origin))
    [exported] = export(str(run), to=["openai"], num_utterances=2, against_base=False)
    record = json.loads((exported.path.parent / "parity.json").read_text())
    assert record["sample"]["what"] == "the training speech"
    assert record["parity"]["long_recording"]["base_model"] is None
    origin["data"]["train"]["manifests"] = [str(tmp_path / "gone.jsonl")]
    (run / "last" / "origin.json").write_text(json.dumps(origin))
    with pytest.raises(InputError, match=r"gone\.jsonl: the training speech is not there; .* --data MANIFEST"):
        export(str(run), to=["openai"], num_utterances=2, replace=True)


def test_a_sample_is_the_same_one_each_time(run: Path, tmp_path: Path) -> None:
    hashes = set()
    for name in "ab":
        [exported] = export(str(run), to=["openai"], num_utterances=2, out=tmp_path / name)
        hashes.add(json.loads((tmp_path / name / "parity.json").read_text())["sample"]["sha256"])
        assert exported.gate is not None
        assert exported.gate.parity.num_utterances == 2
    assert len(hashes) == 1
    assert np.isfinite(exported.gate.parity.cost.real_time_factor)
