"""The command line as a person meets it: help at once, one clear line for each mistake, exit codes."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from eartune import __version__
from eartune.cli import main
from eartune.cli.main import VERBS
from eartune.errors import EartuneError
from tests.tiny import write_speech

HEAVY = ["torch", "transformers", "peft", "numpy", "pydantic", "rich", "soundfile", "jiwer"]


def run(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "eartune", *words], capture_output=True, text=True, **settings)  # type: ignore[call-overload]


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, eartune.cli; eartune.cli.main(['--help']); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(verb in told for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"eartune {verb}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"eartune {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "eartune has no command 'trian'. Did you mean train"),
        (["train", "--lrr", "1"], "unknown argument --lrr. Did you mean --lr"),
        (
            ["train", "--resume"],
            "command line: resume: an interrupted run resumes from its newest checkpoint",
        ),
        (["train", "--resume_from_checkpoint", "last.ckpt"], "resume_from_checkpoint: an interrupted run resumes"),
        (["train", "--output-dir", "a\udcff"], r"--output-dir: 'a\udcff' holds bytes that are not UTF-8"),
        (["evaluate", "a\udcff", "--data", "x"], r"'a\udcff' holds bytes that are not UTF-8"),
        (["train", "--bs", "2", "stray"], "unknown argument stray"),
        (["train", "--push-to-hub", "--lrr", "1"], "unknown argument --lrr. Did you mean --lr"),
        (["train", "wisper"], "family: 'wisper' is not known; this version trains whisper"),
        (["train", "--config"], "--config: expected at least one argument"),
        (["train", "--config", "no.yaml"], "no.yaml: no such file; name a configuration file"),
        (["train"], "train: no training manifest is given"),
        (["evaluate", "model"], "the following arguments are required: --data"),
        (["merge", "nowhere/run/x", "--out", "out"], "nowhere/run/x: no such file or folder"),
        (["transcribe", "model.pt", "clip.wav"], "model.pt: no such file or folder"),
    ],
)
def test_mistakes_are_one_clear_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("error: ")
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_print_config_shows_values_and_where_they_came_from(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("lr: 1e-4\n")
    assert main(["train", "whisper", "--config", str(tmp_path / "c.yaml"), "--grad_accum", "2", "--print-config"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["learning_rate"].split()[1:] == ["0.0001", "#", f"{tmp_path}/c.yaml:1", "(as", "lr)"]
    assert "command line (as grad_accum)" in lines["gradient_accumulation_steps"]
    assert lines["weight_decay"].endswith("# default")


def test_the_short_flags_of_the_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-g", "0", "-l", "as", "-mn", "whisper-large", "-mc", "./models", "-ck", "mine", "-t", "8000"]
    assert main(["train", *words, "--print-config"]) == 0
    values = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    expected = {
        "gpu": "0",
        "language": "as",
        "base_model": "whisper-large",
        "model_cache": "models",
        "max_steps": "8000",
    }
    assert expected.items() <= values.items()
    assert values["max_steps"] == "8000"
    assert values["output_dir"] == str(Path("runs/mine"))


@pytest.mark.parametrize(
    ("words", "value"), [(["--cache-encoder"], "True"), (["--cache-encoder", "disk"], "disk"), ([], "False")]
)
def test_a_switch_with_more_than_two_places(words: list[str], value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--freeze-encoder", *words, "--print-config"]) == 0
    values = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert values["cache_encoder"].lower() == value.lower()


def bad_speech(folder: Path) -> dict[str, Path]:
    """Write speech that is wrong in all the usual ways."""
    good = write_speech(folder, count=2)
    audio = good.parent / "audio" / "0.wav"
    (folder / "truncated.wav").write_bytes(audio.read_bytes()[:9000])
    (folder / "text.wav").write_text("this is a text")
    (folder / "no-column.csv").write_text("file,words\naudio/0.wav,hello\n")
    (folder / "empty.jsonl").write_text("")
    rows = {
        "missing-audio.jsonl": {"audio_filepath": "audio/none.wav", "text": "x", "duration": 1.0},
        "truncated.jsonl": {"audio_filepath": "truncated.wav", "text": "x", "duration": 1.0},
        "text-as-wav.jsonl": {"audio_filepath": "text.wav", "text": "x", "duration": 1.0},
        "no-text.jsonl": {"audio_filepath": "audio/0.wav", "text": None, "duration": 1.0},
        "negative.jsonl": {"audio_filepath": "audio/0.wav", "text": "x", "duration": -1.0},
        "absurd.jsonl": {"audio_filepath": "audio/0.wav", "text": "x", "duration": 1e9},
    }
    for name, row in rows.items():
        (folder / name).write_text(json.dumps(row) + "\n")
    return {name: folder / name for name in [*rows, "no-column.csv", "empty.jsonl", "nowhere.jsonl"]}


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_bad_speech_is_said_with_file_and_line_before_a_model_is_loaded(
    verb: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in bad_speech(tmp_path).items():
        out = tmp_path / "out"
        words = {
            "train": ["train", "--base-model", str(tiny_model), "--train", str(path), "--outdir", str(out)],
            "evaluate": ["evaluate", str(tiny_model), "--data", str(path), "--out", str(out)],
        }[verb]
        code = main(words)
        told = capsys.readouterr().err
        assert code == 2, (name, told)
        assert str(path) in told, (name, told)
        assert "Traceback" not in told
        assert not out.exists(), name


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said_before_training(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    out = tmp_path / "closed" / "run"
    words = ["train", "--base-model", str(tiny_model), "--train", str(tiny_speech), "--outdir", str(out)]
    assert main(words) == 2
    assert "no permission" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["train", "evaluate", "merge"])
def test_a_place_that_cannot_be_written_is_said_at_once(
    verb: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    out = str(tmp_path / "file" / "run")
    words = {
        "train": ["train", "--base-model", str(tiny_model), "--train", str(tiny_speech), "--outdir", out],
        "evaluate": ["evaluate", str(tiny_model), "--data", str(tiny_speech), "--out", out],
        "merge": ["merge", str(tiny_model), "--out", out],
    }[verb]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    if verb != "merge":
        assert "is a file, not a directory" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--optim", "adamx"], "refused by transformers: adamx is not a valid"),
        (["--report-to", "wandb"], "wandb: the package wandb is not installed; run `pip install wandb`"),
        (["--optim", "adamw_bnb_8bit"], "the package bitsandbytes is not installed"),
        (["--fp16"], "fp16 needs a CUDA GPU"),
        (["--gpu", "7"], "there is no GPU 7 here"),
        (["--lora-init", "nonsense"], "PEFT cannot apply these options"),
        (["--lora-target-modules", "linear_qkv"], "'linear_qkv' matches no module"),
        (["--language", "xx"], "language 'xx' is not known"),
    ],
)
def test_what_cannot_be_done_here_is_said_before_anything_is_written(
    options: list[str],
    message: str,
    tiny_model: Path,
    tiny_speech: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    out = tmp_path / "run"
    words = ["train", "--base-model", str(tiny_model), "--train", str(tiny_speech), "--outdir", str(out), *options]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_transcribe_prints_text_and_nothing_else_on_standard_output(tiny_model: Path, tiny_speech: Path) -> None:
    clip = tiny_speech.parent / "audio" / "0.wav"
    done = run("transcribe", str(tiny_model), str(clip), "--language", "en", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["duration"] == 1.0


def test_transcribe_names_audio_that_cannot_be_read(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "clip.wav"
    bad.write_text("no audio")
    assert main(["transcribe", str(tiny_model), str(bad)]) == 2
    assert str(bad) in capsys.readouterr().err


def test_prepare_train_evaluate_merge_transcribe_in_a_row(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verbs on a folder of recordings with texts beside them."""
    source = tmp_path / "recordings"
    write_speech(source, count=10)
    for number, clip in enumerate(sorted((source / "audio").glob("*.wav"))):
        clip.with_suffix(".txt").write_text(f"sentence number {number}")
    (source / "speech.jsonl").unlink()
    corpus, outdir = tmp_path / "corpus", tmp_path / "run"
    assert main(["prepare", str(source / "audio"), "--out", str(corpus), "--language", "en"]) == 0
    options = ["--max-steps", "1", "--r", "2", "--generation-max-length", "8", "--num-workers", "0", "--fp16", "false"]
    words = ["--train", str(corpus / "train.jsonl"), "--val", str(corpus / "val.jsonl"), "--outdir", str(outdir)]
    assert main(["train", "whisper", "--base-model", str(tiny_model), *words, *options]) == 0
    assert main(["evaluate", str(outdir), "--data", str(corpus / "test.jsonl"), "--out", str(tmp_path / "out")]) == 0
    assert main(["merge", str(outdir), "--out", str(tmp_path / "merged")]) == 0
    clip = next((corpus / "audio").rglob("*.flac"))
    assert soundfile.info(clip).samplerate == 16_000
    capsys.readouterr()
    assert (
        main(["transcribe", str(tmp_path / "merged"), str(clip), "--format", "srt", "--out", str(tmp_path / "s")]) == 0
    )
    assert (tmp_path / "s" / f"{clip.name}.srt").is_file()


def test_a_defect_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> int:
        raise RuntimeError("something nobody thought of")

    monkeypatch.setattr(importlib.import_module("eartune.cli.merge"), "run", broken)
    assert main(["merge"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: RuntimeError: something nobody thought of")
    assert "EARTUNE_DEBUG=1" in told


@pytest.mark.parametrize(
    ("raised", "code"), [(EartuneError("x"), 1), (KeyboardInterrupt(), 130), (MemoryError("x"), 1)]
)
def test_exit_codes(raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise raised

    monkeypatch.setattr(importlib.import_module("eartune.cli.merge"), "run", broken)
    assert main(["merge"]) == code
