"""The family of docs/adding-a-family.md: put beside the others, it is trained and goes through every command."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from eartune import families as package
from eartune.cli.main import main
from eartune.families.registry import exports_of, family
from eartune.family import families, family_named

PAGE = Path(__file__).parents[1] / "docs" / "adding-a-family.md"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a base model of the family on the page."""
    root = tmp_path_factory.mktemp("families")
    blocks = re.findall(
        r"^`families/(toy/\w+\.py)`\n\n```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in blocks] == [f"toy/{n}.py" for n in ("__init__", "network", "load", "model", "exports")]
    for name, code in blocks:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(code)
    before = list(package.__path__)
    package.__path__ = [*before, str(root)]
    families.cache_clear()
    network: Any = pytest.importorskip("eartune.families.toy.network")
    torch.manual_seed(0)
    network.ToyForCTC(network.ToyConfig(hidden_size=48)).save_pretrained(root / "base")
    yield root / "base"
    package.__path__ = before
    families.cache_clear()
    for name in [name for name in sys.modules if name.startswith("eartune.families.toy")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def run(toy: Path, tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "toy"
    options = {
        "base-model": toy,
        "train": tiny_speech,
        "val": tiny_speech,
        "output-dir": out,
        "method": "full",
        "num-train-epochs": 100,
        "per-device-train-batch-size": 2,
        "learning-rate": 5e-3,
        "eval-steps": 300,
        "precision": "fp32",
        "report-to": "none",
    }
    assert main(["train", "toy", *(f"--{name}={value}" for name, value in options.items())]) == 0
    return out


def test_what_it_declares_is_there(toy: Path) -> None:
    assert family_named("toy").title == "Toy"
    assert list(exports_of("toy").formats) == ["hf"]
    loader = family("toy")
    assert loader.load(loader.find(str(toy))).family == "toy"


@pytest.mark.usefixtures("toy")
def test_its_training_learns(run: Path) -> None:
    rates = [entry["eval_wer"] for entry in json.loads((run / "summary.json").read_text())["validations"]]
    assert rates[-1] < 0.5, rates


@pytest.mark.usefixtures("toy")
def test_every_command_takes_its_run(
    run: Path, tiny_speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "--data", str(tiny_speech), "--out", str(tmp_path / "scores")]) == 0
    clip = tiny_speech.parent / "audio" / "0.wav"
    assert main(["export", str(run), "--to", "hf", "--out", str(tmp_path / "export")]) == 0
    assert json.loads((tmp_path / "export" / "parity.json").read_text())["family"] == "toy"
    capsys.readouterr()
    assert main(["transcribe", str(run), str(clip)]) == 0
    transcript = capsys.readouterr().out
    assert main(["transcribe", str(tmp_path / "export"), str(clip)]) == 0
    assert capsys.readouterr().out == transcript


@pytest.mark.usefixtures("toy")
def test_what_it_refuses_is_refused(toy: Path, tiny_speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--train", str(tiny_speech), "--base-model", str(toy)]
    assert main(["train", "toy", *told, "--new-vocabulary"]) == 2
    assert "new_vocabulary: Toy knows the letters a to z only: remove it" in capsys.readouterr().err
