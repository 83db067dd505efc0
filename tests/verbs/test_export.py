"""Exports of runs and models: what is written answers as what was tuned."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.errors import EartuneError, InputError
from eartune.families._nemo.archive import read_archive
from eartune.families.registry import family_of
from eartune.training.adaptation.adapter_files import logits
from eartune.verbs.merge import merge
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import train
from tests.exports import export_one

# the verbs have the names of their modules
merging = importlib.import_module("eartune.verbs.merge")


def tuned(base: Path, speech: Path, out: Path, **options: Any) -> Path:
    given = {
        "base_model": str(base), "train": [str(speech)], "output_dir": str(out), "max_steps": 2, "lr": 1e-2,
        "language": "en", "precision": "fp32", "num_workers": 0, **options,
    }  # fmt: skip
    family = family_of(str(base))
    return train(resolve_config(family, overrides=[override(name, value) for name, value in given.items()])).path


def answers(path: Path) -> torch.Tensor:
    model = open_located(locate(str(path)))
    return logits(model.network, model.probe_inputs(), dtype=torch.float32)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", ["canary", "ctc", "rnnt", "tdt", "hybrid"])
def test_a_run_becomes_an_archive_a_folder_and_an_archive_again(
    kind: str, method: str, tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    run = tuned(tiny_nemo[kind], tiny_speech, tmp_path / "run", method=method)
    exported = export_one(run, to="nemo", out=tmp_path / "tuned.nemo")
    assert exported.checkpoint == "last"
    assert exported.largest_difference <= 1e-4
    expected = answers(run)
    assert (answers(tiny_nemo[kind]) - expected).abs().max() > 1e-2, "training has changed it"
    torch.testing.assert_close(answers(tmp_path / "tuned.nemo"), expected, atol=1e-4, rtol=0)
    export_one(run, to="hf", out=tmp_path / "folder")
    torch.testing.assert_close(answers(tmp_path / "folder"), expected, atol=1e-4, rtol=0)
    assert json.loads((tmp_path / "folder" / "origin.json").read_text())["family"] == family_of(str(tiny_nemo[kind]))
    export_one(tmp_path / "folder", to="nemo", out=tmp_path / "again.nemo", original=tiny_nemo[kind])
    one, other = (read_archive(tmp_path / name) for name in ("tuned.nemo", "again.nemo"))
    assert one.config == other.config == read_archive(tiny_nemo[kind]).config
    for name, weight in one.weights().items():
        torch.testing.assert_close(other.weights()[name], weight, atol=1e-6, rtol=0)


def test_a_whisper_is_no_model_of_nemo(tiny_model: Path, tiny_nemo: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--to nemo: a whisper cannot be exported to it"):
        export_one(tiny_model, to="nemo", out=tmp_path / "x.nemo", original=tiny_nemo["ctc"])
    export_one(tiny_model, to="hf", out=tmp_path / "whisper")
    torch.testing.assert_close(answers(tmp_path / "whisper"), answers(tiny_model), atol=1e-5, rtol=0)


def test_places_and_originals_are_checked_before_anything_is_loaded(
    tiny_nemo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    export_one(tiny_nemo["ctc"], to="hf", out=folder)
    monkeypatch.setattr(merging, "open_located", None)
    (tmp_path / "taken.nemo").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"taken\.nemo: is there already"):
        export_one(tiny_nemo["ctc"], to="nemo", out=tmp_path / "taken.nemo")
    with pytest.raises(InputError, match=r"taken\.nemo: is a file; choose another place"):
        export_one(tiny_nemo["ctc"], to="hf", out=tmp_path / "taken.nemo")
    with pytest.raises(InputError, match="is the original archive itself"):
        export_one(tiny_nemo["ctc"], to="nemo", out=tiny_nemo["ctc"], replace=True)
    (folder / "origin.json").unlink()
    with pytest.raises(InputError, match=r"did not begin as a \.nemo file here; name the one .* --original"):
        export_one(folder, to="nemo", out=tmp_path / "new.nemo")


def test_an_archive_of_another_model_is_refused(tiny_nemo: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="came from another model"):
        export_one(tiny_nemo["rnnt"], to="nemo", out=tmp_path / "x.nemo", original=tiny_nemo["tdt"])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def lora_run(tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned(tiny_nemo["tdt"], tiny_speech, tmp_path_factory.mktemp("runs") / "run", method="lora")


@pytest.fixture(scope="module")
def too_strong(lora_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose adapter is so large that merged weights are rounded to others."""
    run = Path(shutil.copytree(lora_run, tmp_path_factory.mktemp("runs") / "run"))
    adapter = run / "last" / "adapter_model.safetensors"
    weights = {name: weight * (1e8 if "lora_B" in name else 1.0) for name, weight in load_file(adapter).items()}
    save_file(weights, adapter, metadata={"format": "pt"})
    return run


@pytest.mark.parametrize(("form", "name"), [("nemo", "x.nemo"), ("hf", "x")])
def test_what_answers_otherwise_is_not_left_behind(form: Any, name: str, too_strong: Path, tmp_path: Path) -> None:
    with pytest.raises(EartuneError, match=r"by 0\.\d+, and 0\.0001 is allowed; nothing was written"):
        export_one(too_strong, to=form, out=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_merge_that_answers_otherwise_writes_nothing(too_strong: Path, tmp_path: Path) -> None:
    with pytest.raises(EartuneError, match=r"logits of the written model differ .* nothing was written"):
        merge(str(too_strong), out=tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("form", "name"), [("nemo", "x.nemo"), ("hf", "x")])
def test_rounding_of_float32_alone_does_not_refuse_an_export(
    form: Any, name: str, lora_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a deep model: a limit below what float32 can do, and far above the difference of the weights."""
    difference = export_one(lora_run, to=form, out=tmp_path / f"usual-{name}").largest_difference
    monkeypatch.setattr(merging, "MERGE_TOLERANCE", difference * 0.9)
    assert export_one(lora_run, to=form, out=tmp_path / name).largest_difference < difference * 0.9


def test_the_family_is_told_by_what_lies_there(tiny_nemo: dict[str, Path], tmp_path: Path) -> None:
    for kind, path in tiny_nemo.items():
        assert family_of(str(path)) == ("canary" if kind == "canary" else "parakeet")
    for kind in ("hybrid", "streaming", "prompted"):
        export_one(tiny_nemo[kind], to="hf", out=tmp_path / kind)
        assert family_of(str(tmp_path / kind)) == "parakeet"
    assert family_of("nvidia/canary-1b-v2") == "canary"
    assert family_of("nvidia/nemotron-3.5-asr-streaming-0.6b") == "parakeet"
    assert family_of("openai/whisper-small") == "whisper"
    assert family_of("someone/model") is None
