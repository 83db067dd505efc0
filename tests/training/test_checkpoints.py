"""Checkpoints that are damaged: training goes on from the newest whole one before them, and says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from eartune.errors import InputError
from eartune.reporting import Silent
from eartune.training.checkpoints import newest_whole, require_whole
from eartune.verbs.train import train
from tests.verbs.test_nemo_runs import configured

STEPS = 3
ADAPTER = "adapter_model.safetensors"
METHODS = {"adapter": {"r": 2}, "full": {"method": "full"}}
FILES = {
    "adapter": ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", ADAPTER, "adapter_config.json"),
    "full": ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "config.json"),
}


class Lines(Silent):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def options(method: str) -> dict[str, Any]:
    return {
        **METHODS[method], "max_steps": STEPS, "save_steps": 1, "save_total_limit": 3, "logging_steps": 1, "seed": 3,
    }  # fmt: skip


@pytest.fixture(scope="module", params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def unbroken(
    method: str, tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run with a checkpoint after each of its steps."""
    run = tmp_path_factory.mktemp(method) / "run"
    train(configured(tiny_nemo["ctc"], tiny_speech, run, **options(method)))
    return run


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    path.write_bytes(b"\x80junk\x00" * 300)


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def made_a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def removed(path: Path) -> None:
    path.unlink()


DAMAGE: tuple[Callable[[Path], None], ...] = (
    emptied, halved, overwritten, made_a_folder, made_a_dangling_link, removed,
)  # fmt: skip


def test_each_file_of_a_checkpoint_is_looked_at(method: str, unbroken: Path, tmp_path: Path) -> None:
    whole = unbroken / "checkpoints" / f"checkpoint-{STEPS}"
    require_whole(whole)
    for name in FILES[method]:
        for damage in DAMAGE:
            checkpoint = shutil.copytree(whole, tmp_path / name / damage.__name__ / whole.name)
            damage(checkpoint / name)
            with pytest.raises(InputError) as refused:
                require_whole(checkpoint)
            assert str(checkpoint) in str(refused.value), (name, damage)
            assert "\n" not in str(refused.value)


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def fill_with_nan(path: Path) -> None:
    weights = load_file(path)
    wrong = {name: torch.full_like(value, torch.nan) for name, value in weights.items() if value.is_floating_point()}
    save_file(weights | wrong, path)


WRONG: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a list": ("trainer_state.json", lambda path: path.write_text("[]"), "is a list, and should be a valid mapping"),
    "no step": ("trainer_state.json", lambda path: edit(path, global_step=None), "global_step is None"),
    "another step": ("trainer_state.json", lambda path: edit(path, global_step=1), "global_step is 1"),
    "no logs": ("trainer_state.json", lambda path: edit(path, log_history={}), "log_history is a mapping"),
    "a key of a newer version": ("trainer_state.json", lambda path: edit(path, surprise=1), "cannot be used"),
    "other states": ("optimizer.pt", lambda path: torch.save([1], path), "optimizer.pt: has no state"),
    "a state missing": ("scheduler.pt", lambda path: torch.save({}, path), "scheduler.pt: has no last_epoch"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_checkpoint_is_told_by_file(wrong: str, unbroken: Path, tmp_path: Path) -> None:
    name, damage, told = WRONG[wrong]
    whole = unbroken / "checkpoints" / f"checkpoint-{STEPS}"
    checkpoint = shutil.copytree(whole, tmp_path / whole.name)
    damage(checkpoint / name)
    with pytest.raises(InputError) as refused:
        require_whole(checkpoint)
    assert told in str(refused.value)
    assert name in str(refused.value)


def test_weights_that_are_not_numbers_are_damage(method: str, unbroken: Path, tmp_path: Path) -> None:
    whole = unbroken / "checkpoints" / f"checkpoint-{STEPS}"
    checkpoint = shutil.copytree(whole, tmp_path / whole.name)
    fill_with_nan(checkpoint / FILES[method][4])
    with pytest.raises(InputError, match="are NaN or infinite"):
        require_whole(checkpoint)


def test_a_run_goes_on_from_the_newest_whole_checkpoint(
    method: str, unbroken: Path, tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(unbroken, tmp_path / "run")
    (run / "summary.json").unlink()
    emptied(run / "checkpoints" / f"checkpoint-{STEPS}" / "optimizer.pt")
    made_a_dangling_link(run / "checkpoints" / f"checkpoint-{STEPS - 1}" / "trainer_state.json")
    told = Lines()
    trained = train(configured(tiny_nemo["ctc"], tiny_speech, run, **options(method)), reporter=told)
    assert trained.steps == STEPS
    assert "resuming from checkpoint-1" in told.lines
    damaged = [line for line in told.lines if "is damaged" in line]
    assert [line.split()[0] for line in damaged] == ["checkpoint-3", "checkpoint-2"]
    assert "it is now .damaged-checkpoint-3, and checkpoint-1 is used" in damaged[0]
    assert losses(run / "metrics.csv") == losses(unbroken / "metrics.csv")


def losses(metrics: Path) -> list[list[str]]:
    return [line.split(",")[:3] for line in metrics.read_text().splitlines()]


def test_a_run_without_a_whole_checkpoint_says_what_to_do(unbroken: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(unbroken / "checkpoints", tmp_path / "checkpoints")
    checkpoints = sorted(folder.iterdir())
    for checkpoint in checkpoints:
        emptied(checkpoint / "optimizer.pt")
    with pytest.raises(InputError, match=r"none of its 3 checkpoints is whole .*optimizer\.pt: .*--overwrite"):
        newest_whole(checkpoints, Silent())
    assert sorted(folder.iterdir()) == checkpoints


def test_a_run_without_checkpoints_has_no_newest_one() -> None:
    assert newest_whole([], Silent()) is None
