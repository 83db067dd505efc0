"""evaluate, merge and transcribe on tiny models: what they write, what they refuse, what they say."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from eartune.cli import main
from eartune.errors import InputError
from eartune.families.whisper.decode import LONG_FORM
from eartune.families.whisper.load import find, load
from eartune.manifest import Segment
from eartune.model import DecodeOptions
from eartune.scoring import score
from eartune.training.adaptation import adapter_files
from eartune.verbs.evaluate import evaluate
from eartune.verbs.merge import merge
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import TrainedRun, train
from eartune.verbs.transcribe import Transcript, render, transcribe
from tests.tiny import clips_in
from tests.verbs.test_train import configure

SHORT = DecodeOptions(max_length=8)
merging = importlib.import_module("eartune.verbs.merge")


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedRun]:
    out = tmp_path_factory.mktemp("runs")
    options = {"learning_rate": 1e-2, "max_steps": 2, "lang": "en"}
    return {
        "lora": train(configure(tiny_model, tiny_speech, out / "lora", r=4, **options)),
        "full": train(configure(tiny_model, tiny_speech, out / "full", method="full", **options)),
    }


@pytest.mark.parametrize("method", ["lora", "full"])
def test_evaluation_measures_base_and_tuned_in_one_call(
    runs: dict[str, TrainedRun], method: str, tiny_speech: Path, tmp_path: Path
) -> None:
    found = evaluate(str(runs[method].path), data=[tiny_speech], out=tmp_path / "out", options=SHORT)
    assert found.base is not None
    assert found.difference is not None
    rows = [json.loads(line) for line in (tmp_path / "out" / "hypotheses.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert {"audio_filepath", "text", "pred_text", "base_pred_text", "wer", "lang"} <= rows[0].keys()
    assert (tmp_path / "out" / rows[0]["audio_filepath"]).resolve().is_file()
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    again = score([r["text"] for r in rows], [r["pred_text"] for r in rows], languages=["en"] * 6)
    assert scores["scores"]["wer"] == pytest.approx(again.words.rate)
    assert scores["base_scores"]["cer"] == pytest.approx(found.base.scores.chars.rate)
    assert len(scores["worst"]) == 6


def test_hypotheses_stand_beside_their_own_utterance(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    """Decoding sorts by length; one clip at a time gives the same texts in the manifest's order."""
    found = evaluate(str(tiny_model), data=[tiny_speech], out=tmp_path, options=SHORT, batch_size=4, language="en")
    model = load(find(str(tiny_model)), language="en")
    for utterance, hypothesis in zip(found.utterances, found.tuned.hypotheses, strict=True):
        waveform, _ = soundfile.read(utterance.audio, dtype="float32")
        assert model.transcribe_batch([waveform], clips_in("en"), SHORT) == [hypothesis]


@pytest.mark.parametrize("window", ["padded", "short"])
def test_evaluation_decodes_in_the_window_that_it_records(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, window: Any
) -> None:
    words = ["evaluate", str(tiny_model), "--data", str(tiny_speech), "--out", str(tmp_path), "--language", "en"]
    assert main([*words, *(["--window", window] if window == "short" else [])]) == 0
    recorded = json.loads((tmp_path / "scores.json").read_text())["window"]
    assert recorded.startswith({"padded": "padded to 30 s", "short": "short: the longest clip"}[window])
    model = load(find(str(tiny_model)), language="en")
    rows = [json.loads(line) for line in (tmp_path / "hypotheses.jsonl").read_text().splitlines()]
    waveforms = [soundfile.read(tmp_path / row["audio_filepath"], dtype="float32")[0] for row in rows]
    found = {
        each: model.transcribe_batch(waveforms, clips_in(*["en"] * len(rows)), DecodeOptions(window=each))
        for each in ("padded", "short")
    }
    assert [row["pred_text"] for row in rows] == found[window]
    assert found["padded"] != found["short"]


def test_transcription_in_a_short_window(
    tiny_model: Path, tiny_speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tiny_speech.parent / "audio" / "0.wav"
    assert main(["transcribe", str(tiny_model), str(clip), "--language", "en", "--window", "short"]) == 0
    waveform, _ = soundfile.read(clip, dtype="float32")
    options = DecodeOptions(max_length=448, window="short", fallback=True)
    (expected,) = load(find(str(tiny_model))).transcribe_batch([waveform], clips_in("en"), options)
    assert capsys.readouterr().out == expected + "\n"


def test_a_base_model_has_no_base_beside_it(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    found = evaluate(str(tiny_model), data=[tiny_speech], out=tmp_path, options=SHORT)
    assert found.base is None


def test_a_merged_model_equals_its_run_and_knows_its_base(
    runs: dict[str, TrainedRun], tiny_speech: Path, tmp_path: Path
) -> None:
    merged = merge(str(runs["lora"].path), out=tmp_path / "merged")
    assert merged.largest_difference <= adapter_files.MERGE_TOLERANCE
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    adapted, plain = (open_located(locate(str(p))) for p in (runs["lora"].path, tmp_path / "merged"))
    with torch.no_grad():
        expected = adapted.network(**adapted.probe_inputs()).logits
        found = plain.network(**plain.probe_inputs()).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    evaluation = evaluate(str(tmp_path / "merged"), data=[tiny_speech], out=tmp_path / "out", options=SHORT)
    assert evaluation.base is not None, "the merged model's origin says what it was tuned from"


def test_merge_refuses_a_taken_folder_and_leaves_it_alone(runs: dict[str, TrainedRun], tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already exists and is not empty"):
        merge(str(runs["lora"].path), out=tmp_path / "taken")
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "mine.txt"]


def test_rounding_of_float32_alone_does_not_refuse_a_merge(
    runs: dict[str, TrainedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit below what float32 can do, and far above the difference of the weights."""
    difference = merge(str(runs["lora"].path), out=tmp_path / "usual").largest_difference
    monkeypatch.setattr(merging, "MERGE_TOLERANCE", difference * 0.9)
    merged = merge(str(runs["lora"].path), out=tmp_path / "strict")
    assert merged.largest_difference < difference * 0.9


def test_merge_of_a_fully_tuned_run_says_that_there_is_nothing_to_merge(
    runs: dict[str, TrainedRun], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="has no adapter to merge"):
        merge(str(runs["full"].path), out=tmp_path / "merged")


def test_a_run_whose_base_model_has_moved(
    runs: dict[str, TrainedRun], tiny_model: Path, tiny_english_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["lora"].path, run)
    moved = tmp_path / "elsewhere.pt"
    shutil.copy(tiny_model, moved)
    for origin in (run / "origin.json", run / "best" / "origin.json"):
        content = json.loads(origin.read_text())
        content["base_model"] |= {"path": str(tmp_path / "gone.pt"), "spec": str(tmp_path / "gone.pt")}
        origin.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"is no longer at .*--base-model"):
        locate(str(run))
    assert locate(str(run), base_model=str(moved)).base.path == moved.resolve()
    with pytest.raises(InputError, match="is not the model that"):
        locate(str(run), base_model=str(tiny_english_model))


def test_a_run_interrupted_while_its_best_was_replaced_still_opens(runs: dict[str, TrainedRun], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["lora"].path, run)
    (run / "best").rename(run / ".best.old")
    assert locate(str(run)).checkpoint == "best"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere/at/all", "no such file or folder"),
        ("missing.pt", "no such file or folder"),
        ("EMPTY", "has no config.json"),
    ],
)
def test_what_is_no_model_is_one_clear_line(spec: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "EMPTY").mkdir()
    with pytest.raises(InputError, match=message) as refused:
        locate(str(tmp_path / "EMPTY") if spec == "EMPTY" else spec)
    assert "\n" not in str(refused.value)


def test_evaluation_refuses_a_clip_longer_than_the_window(tiny_model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * 16_000), 16_000)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"audio_filepath": "long.wav", "text": "x", "duration": 31.0}\n')
    with pytest.raises(InputError, match=r"m\.jsonl:1: duration 31\.0 s exceeds"):
        evaluate(str(tiny_model), data=[manifest], out=tmp_path / "out", options=SHORT)
    assert not (tmp_path / "out").exists()


def test_transcribe_short_and_long_recordings(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # random weights never satisfy it, so that each temperature would write as much as there can be
    monkeypatch.setitem(LONG_FORM, "temperature", (0.0, 0.4))
    soundfile.write(tmp_path / "long.wav", 0.01 * np.random.default_rng(0).standard_normal(33 * 16_000), 16_000)
    clip = tiny_speech.parent / "audio" / "0.wav"
    short, long = transcribe(str(tiny_model), [clip, tmp_path / "long.wav"], language="en")
    assert short.duration_s == pytest.approx(1.0)
    assert len(short.segments) == 1
    assert long.duration_s == pytest.approx(33.0)
    assert all(0 <= s.start_s <= s.end_s <= 33.0 for s in long.segments)


SPOKEN = Transcript(Path("a.wav"), 3.5, (Segment(0.0, 1.25, "Hello there."), Segment(3601.5, 3603.0, "Bye.")))


def test_subtitles_by_hand() -> None:
    assert render(SPOKEN, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello there.\n\n2\n01:00:01,500 --> 01:00:03,000\nBye.\n"
    )
    assert render(SPOKEN, "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHello there.\n\n01:00:01.500 --> 01:00:03.000\nBye.\n"
    )
    assert render(SPOKEN, "text") == "Hello there. Bye.\n"
