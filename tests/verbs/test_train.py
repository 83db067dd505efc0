"""Training end to end on a tiny model: files of a run, going on after a kill, refusals, interruption."""

import csv
import json
import os
import random
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eartune.audio import decode
from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions, PlacedUtterance, WindowKind
from eartune.scoring import score
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.plan import MicroBatch
from eartune.training.batching.windows import Window
from eartune.training.loss import encoder_inputs
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import TrainedRun, train
from tests import processes
from tests.tiny import write_speech

KILLS = 3


def configure(model: Path, speech: Path, out: Path, **options: object) -> TrainConfig:
    given = {
        "base_model": str(model),
        "train": [str(speech)],
        "val": [str(speech)],
        "output_dir": str(out),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 2,
        "generation_max_length": 8,
        "logging_steps": 1,
        "precision": "fp32",
        "dataloader_num_workers": 0,
        **options,
    }
    return resolve_config(overrides=[override(name, value) for name, value in given.items()])


@pytest.fixture(scope="module")
def lora_run(tiny_model: Path, tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    out = tmp_path_factory.mktemp("runs") / "lora"
    return train(configure(tiny_model, tiny_speech, out, r=4, learning_rate=1e-2))


def test_run_has_every_file_that_later_verbs_and_people_look_for(lora_run: TrainedRun) -> None:
    files = {path.relative_to(lora_run.path).as_posix() for path in lora_run.path.rglob("*") if path.is_file()}
    assert {
        "origin.json",
        "config.yaml",
        "metrics.csv",
        "summary.json",
        "best/adapter_model.safetensors",
        "best/adapter_config.json",
        "best/tokenizer.json",
        "best/preprocessor_config.json",
        "best/generation_config.json",
        "best/origin.json",
        "last/adapter_model.safetensors",
        "checkpoints/checkpoint-6/trainer_state.json",
    } <= files
    assert any(name.startswith("tensorboard/events") for name in files)
    assert not [name for name in files if name.endswith("training_args.bin") or ".tmp-" in name]


def test_training_lowers_the_loss(lora_run: TrainedRun) -> None:
    first, *_, last = (entry["eval_loss"] for entry in lora_run.validations)
    assert last < first


def test_origin_tells_where_everything_came_from(lora_run: TrainedRun, tiny_speech: Path) -> None:
    origin = json.loads((lora_run.path / "origin.json").read_text())
    assert origin["kind"] == "run"
    assert origin["family"] == "whisper"
    assert origin["base_model"]["kind"] == "openai"
    assert len(origin["base_model"]["sha256"]) == 64
    assert origin["config"]["learning_rate"] == 1e-2
    assert origin["provenance"]["learning_rate"] == "command line"
    assert origin["provenance"]["weight_decay"] == "default"
    assert origin["data"]["train"]["utterances"] == 6
    assert origin["data"]["train"]["manifests"] == [str(tiny_speech)]
    assert {"eartune", "torch", "transformers", "peft"} <= origin["versions"].keys()


def test_the_written_configuration_starts_the_same_run_again(lora_run: TrainedRun) -> None:
    again = resolve_config(files=[lora_run.path / "config.yaml"])
    origin = json.loads((lora_run.path / "origin.json").read_text())
    assert json.loads(json.dumps(again.training_fingerprint())) == origin["decides"]


def test_a_finished_run_is_not_trained_again(lora_run: TrainedRun, tiny_model: Path, tiny_speech: Path) -> None:
    before = (lora_run.path / "metrics.csv").read_text()
    again = train(configure(tiny_model, tiny_speech, lora_run.path, r=4, learning_rate=1e-2))
    assert again == lora_run
    assert (lora_run.path / "metrics.csv").read_text() == before


def test_another_configuration_in_the_same_folder_is_refused_with_each_difference(
    lora_run: TrainedRun, tiny_model: Path, tiny_speech: Path
) -> None:
    with pytest.raises(InputError) as refused:
        train(configure(tiny_model, tiny_speech, lora_run.path, r=8, learning_rate=1e-3))
    message = str(refused.value)
    assert "learning_rate: was 0.01, is 0.001" in message
    assert "r: was 4, is 8" in message
    assert "--overwrite" in message


def test_other_speech_in_the_same_folder_is_refused(lora_run: TrainedRun, tiny_model: Path, tmp_path: Path) -> None:
    other = write_speech(tmp_path, count=4)
    with pytest.raises(InputError, match="train: its speech or texts have changed"):
        train(configure(tiny_model, other, lora_run.path, r=4, learning_rate=1e-2))


def test_accumulated_batches_learn_what_one_large_batch_does(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    """Clips of unlike length, so that averaging per batch instead of per token would show."""
    whole = train(
        configure(tiny_model, tiny_speech, tmp_path / "whole", per_device_train_batch_size=6, learning_rate=1e-2)
    )
    parts = train(configure(tiny_model, tiny_speech, tmp_path / "parts", accum=3, learning_rate=1e-2))
    assert (whole.steps, parts.steps) == (2, 2)
    for one, other in zip(whole.validations, parts.validations, strict=True):
        assert one["eval_loss"] == pytest.approx(other["eval_loss"], rel=1e-4)


@pytest.mark.parametrize("window", ["packed", "short"])
def test_training_in_other_windows_lowers_the_loss_in_stock_ones(
    window: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"method": "full", "learning_rate": 1e-3, "num_train_epochs": 4, "window": window}
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    first, *_, last = (entry["eval_loss"] for entry in trained.validations)
    assert last < first - 0.1
    assert trained.steps == 12
    assert trained.audio_seconds == pytest.approx(4 * 7.5, abs=0.01)
    assert 0 <= trained.waited_seconds <= trained.train_seconds


def test_full_tuning_writes_a_whole_model(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", method="full", max_steps=2))
    assert (trained.path / "best" / "model.safetensors").is_file()
    assert not (trained.path / "best" / "adapter_config.json").exists()
    # and a model folder that was tuned in full starts another run, with the same weights frozen
    again = train(configure(trained.path / "best", tiny_speech, tmp_path / "again", method="full", max_steps=2))
    name = "model.encoder.embed_positions.weight"
    weights = [load_file(run.path / "last" / "model.safetensors")[name] for run in (trained, again)]
    assert weights[0].equal(weights[1])


def test_a_frozen_encoder_stays_as_it_was(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    options = {"method": "full", "learning_rate": 1e-2, "max_steps": 2}
    frozen = train(configure(tiny_model, tiny_speech, tmp_path / "frozen", freeze_encoder=True, **options))
    free = train(configure(tiny_model, tiny_speech, tmp_path / "free", **options))
    name = "model.encoder.layers.0.fc1.weight"
    decoder = "model.decoder.layers.0.fc1.weight"
    frozen_weights, free_weights = (load_file(run.path / "last" / "model.safetensors") for run in (frozen, free))
    base = load(find(str(tiny_model))).network.state_dict()
    positions = "model.encoder.embed_positions.weight"
    assert free_weights[positions].equal(base[positions]), "sinusoids are never trained"
    assert frozen_weights[name].equal(base[name])
    assert not free_weights[name].equal(base[name])
    assert not frozen_weights[decoder].equal(base[decoder])


def test_without_validation_there_is_a_last_and_no_best(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", val=[], max_steps=1))
    assert (trained.path / "last").is_dir()
    assert not (trained.path / "best").exists()
    assert trained.best == {}


@pytest.mark.parametrize("window", ["padded", "short"])
def test_validation_shows_clips_in_stock_windows_unless_short_ones_are_asked_for(
    lora_run: TrainedRun, tiny_model: Path, tiny_speech: Path, tmp_path: Path, window: WindowKind
) -> None:
    """Its figures are those of the model that was saved, of clips in such windows."""
    run = lora_run
    if window == "short":
        run = train(configure(tiny_model, tiny_speech, tmp_path / "run", r=4, max_steps=1, eval_window="short"))
    model = open_located(locate(str(run.path), checkpoint="last"))
    utterances = read_manifest([tiny_speech]).utterances
    waveforms = [decode(utterance.audio) for utterance in utterances]
    texts = model.transcribe_batch(waveforms, utterances, DecodeOptions(max_length=8, window=window))
    scores = score([utterance.text for utterance in utterances], texts, languages=["en"] * len(utterances))
    width_s = model.window.width_s(max(utterance.duration_s for utterance in utterances), window)
    alone = [PlacedUtterance(row, 0.0, utterance.duration_s) for row, utterance in enumerate(utterances)]
    windows = tuple(Window((clip,), clip.end_s, width_s) for clip in alone)
    batch = SpeechDataset(utterances, model)[MicroBatch(windows, width_s)]
    with torch.no_grad():
        inputs = encoder_inputs(batch, model, torch.device("cpu"))
        loss = model.network(**inputs, decoder_input_ids=batch.decoder_input_ids, labels=batch.labels).loss
    assert run.validations[-1] == {
        "step": run.steps,
        "eval_loss": pytest.approx(float(loss), rel=1e-5),
        "eval_wer": scores.words.rate,
        "eval_cer": scores.chars.rate,
    }


def test_merge_lora_writes_a_plain_model(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", merge_lora=True, max_steps=1))
    assert trained.merged is not None
    assert (trained.merged / "model.safetensors").is_file()


def test_early_stopping_ends_a_run_that_does_not_improve(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    options = {"es_patience": 1, "es_min_delta": 10.0, "num_train_epochs": 6, "metric_for_best_model": "loss"}
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    assert trained.epochs < 6


def test_all_unusable_utterances_are_reported_together(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in tiny_speech.read_text().splitlines()]
    rows = [row | {"audio_filepath": str(tiny_speech.parent / row["audio_filepath"])} for row in rows]
    rows[1]["text"] = "word " * 500
    rows[4]["lang"] = "yue"
    manifest = tmp_path / "bad.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError) as refused:
        train(configure(tiny_model, manifest, tmp_path / "run"))
    assert f"{manifest}:2: text is 504 tokens" in str(refused.value)
    assert f"{manifest}:5: language 'yue'" in str(refused.value)
    assert not (tmp_path / "run").exists()
    trained = train(configure(tiny_model, manifest, tmp_path / "run", skip_bad=True, val=[], max_steps=1))
    origin = json.loads((trained.path / "origin.json").read_text())
    assert origin["data"]["train"]["utterances"] == 4
    assert origin["data"]["train"]["skipped"] == 2


def test_bad_rows_of_training_and_validation_are_reported_together(tiny_model: Path, tmp_path: Path) -> None:
    row = '{"audio_filepath": "none.wav", "text": "x", "duration": 1.0}\n'
    for name in ("train", "val"):
        (tmp_path / f"{name}.jsonl").write_text(row)
    with pytest.raises(InputError) as refused:
        train(configure(tiny_model, tmp_path / "train.jsonl", tmp_path / "run", val=[str(tmp_path / "val.jsonl")]))
    assert f"{tmp_path}/train.jsonl:1: " in str(refused.value)
    assert f"{tmp_path}/val.jsonl:1: " in str(refused.value)


def test_a_clip_over_thirty_seconds_is_refused_with_its_line(tiny_model: Path, tmp_path: Path) -> None:
    manifest = write_speech(tmp_path, count=1, duration_s=30.5)
    with pytest.raises(InputError, match=rf"{manifest}:1: duration 30.5 s exceeds Whisper's 30 s"):
        train(configure(tiny_model, manifest, tmp_path / "run"))


def test_a_folder_with_other_things_in_it_is_not_touched(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    with pytest.raises(InputError, match="holds no run"):
        train(configure(tiny_model, tiny_speech, tmp_path / "photos", overwrite=True))
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "cat"


def command(model: Path, speech: Path, out: Path, *more: str) -> list[str]:
    words = ["train", "--base-model", str(model), "--train", str(speech), "--val", str(speech), "--outdir", str(out)]
    words += [
        "--epochs",
        "4",
        "--bs",
        "2",
        "--generation-max-length",
        "8",
        "--logging-steps",
        "1",
        "--num-workers",
        "0",
    ]
    words += ["--precision", "fp32", "--lora-dropout", "0.1", "--lr", "1e-2", *more]
    return words


def goes_on(told: str) -> bool:
    """Tell whether a command went on after a kill, or where the machine was busy: the kill came after the end."""
    return "resuming from checkpoint" in told or "this run is finished" in told


def losses(run: Path) -> list[tuple[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return [(row["step"], row["loss"] or row["eval_loss"]) for row in csv.DictReader(stream)]


def test_a_run_killed_again_and_again_has_the_loss_curve_of_an_unbroken_one(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    """PiSSA, so that the base weights that training changes come back right too; dropout, masks and windows that are
    drawn anew in each epoch, so that randomness does.

    Kills fall into the first epoch, and the epochs after it must still draw what they would have drawn.
    """
    options = ["--lora-init", "pissa", "--use-dora", "--seed", "7", "--save-steps", "1", "--accum", "2"]
    options += ["--num-workers", "2", "--window", "short", "--short-full", "0.5", "--spec-augment"]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    log = tmp_path / "log"
    processes.run(command(tiny_model, tiny_speech, unbroken, *options), log)
    chance = random.Random(1)
    for kill in range(KILLS):
        process = processes.Command(command(tiny_model, tiny_speech, broken, *options), log)
        process.wait_for(
            lambda kill=kill: len(list(broken.glob("checkpoints/checkpoint-*"))) > min(kill, 1)  # type: ignore[misc]
        )
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
    assert goes_on(processes.run(command(tiny_model, tiny_speech, broken, *options), log))
    assert losses(broken) == losses(unbroken)
    weights = [load_file(run / "last" / "adapter_model.safetensors") for run in (broken, unbroken)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[1])


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl+C to whole consoles only")
def test_ctrl_c_saves_and_says_how_to_go_on(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--epochs", "200", "--save-strategy", "epoch", "--eval-strategy", "no"]
    words = command(tiny_model, tiny_speech, run, *options, "--export", str(tmp_path / "exported model"))
    process = processes.Command(words, tmp_path / "log")
    process.wait_for(lambda: len(losses(run)) >= 2 if (run / "metrics.csv").exists() else False)
    process.interrupt()
    ended, told = process.wait(), process.told
    assert ended == 130, told
    assert "give the same command again to go on" in told
    assert "Traceback" not in told
    assert (run / "last" / "adapter_model.safetensors").is_file()
    assert list(run.glob("checkpoints/checkpoint-*"))
    origin = json.loads((tmp_path / "exported model" / "origin.json").read_text())
    assert origin["parent"] == str(run / "last")
    assert (tmp_path / "exported model" / "model.safetensors").is_file()


def test_export_writes_the_best_model_as_a_folder_of_its_own(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    out = tmp_path / "models" / "my model"
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", export=str(out), r=4, max_steps=2))
    assert trained.exported == out
    origin = json.loads((out / "origin.json").read_text())
    assert origin["parent"] == str(tmp_path / "run" / "best")
    assert origin["merge_difference"] <= 1e-4
    weights = load(find(str(out))).network.state_dict()
    assert not any("lora" in name for name in weights)
    assert not (tmp_path / "run" / "merged").exists()


def test_export_copies_a_model_that_was_tuned_in_full(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    out, run = tmp_path / "model", tmp_path / "run"
    train(configure(tiny_model, tiny_speech, run, export=str(out), method="full", max_steps=2))
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (run / "best").iterdir())
    assert (out / "model.safetensors").read_bytes() == (run / "best" / "model.safetensors").read_bytes()


def test_a_finished_run_can_be_exported_later_and_again(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    options = {"r": 4, "max_steps": 1, "val": []}
    assert train(configure(tiny_model, tiny_speech, tmp_path / "run", **options)).exported is None
    for _ in range(2):
        later = train(configure(tiny_model, tiny_speech, tmp_path / "run", export=str(out), **options))
        assert later.exported == out
        assert json.loads((out / "origin.json").read_text())["parent"] == str(tmp_path / "run" / "last")
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("photos", "is not empty and holds no model of"),
        ("notes.txt", "is a file, and the model is written as a folder"),
        ("run", "is where the run itself is written"),
        ("run/best", "is where the run itself is written"),
        ("run/checkpoints/x", "is where the run itself is written"),
        (".", "is where the run itself is written"),
    ],
)
def test_export_refuses_a_place_that_holds_other_things_before_training(
    place: str, message: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(InputError, match=message):
        train(configure(tiny_model, tiny_speech, tmp_path / "run", export=str(tmp_path / place)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "photos"]
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "cat"


def test_another_runs_export_is_not_replaced(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    options = {"r": 4, "max_steps": 1, "val": [], "export": str(tmp_path / "model")}
    train(configure(tiny_model, tiny_speech, tmp_path / "first", **options))
    with pytest.raises(InputError, match="is not empty and holds no model of"):
        train(configure(tiny_model, tiny_speech, tmp_path / "second", **options))
