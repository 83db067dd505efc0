"""Runs whose loss or weights stop being finite end there with an error, and leave what was good before."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import EartuneError
from eartune.training.trainer import SpeechTrainer
from eartune.verbs.train import train

FULL = {"method": "full", "learning_rate": 1e-3}


def configure(model: Path, speech: Path, out: Path, **options: object) -> TrainConfig:
    given = {
        "base_model": str(model),
        "train": [str(speech)],
        "output_dir": str(out),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 2,
        "precision": "fp32",
        "lr_scheduler_type": "constant",
        "warmup_ratio": 0.0,
        "dataloader_num_workers": 0,
        **options,
    }
    return resolve_config(overrides=[override(name, value) for name, value in given.items()])


def weights_below(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(folder)}: {name}": value
        for path in folder.rglob("*.safetensors")
        for name, value in load_file(path).items()
    }


@pytest.mark.parametrize(
    ("options", "step"),
    [
        ({"learning_rate": 1e300}, "step 1"),
        ({"weight_decay": 1e300, "method": "full"}, "step 1"),
        # the weights are finite after the first step, and what is computed with them is not
        ({"learning_rate": 1e15, "method": "full", "logging_steps": 1000, "max_steps": 2}, "step 2"),
    ],
)
def test_a_run_that_diverges_ends_at_that_step_and_writes_no_model(
    options: dict[str, object], step: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    with pytest.raises(EartuneError, match=rf"{step}\b.*training diverged. Lower learning_rate") as ended:
        train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    assert ended.value.exit_code == 1
    assert "\n" not in str(ended.value)
    assert not weights_below(tmp_path / "run")


def test_a_run_that_diverges_keeps_what_was_good_and_ends_there_again(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    config = configure(
        tiny_model, tiny_speech, tmp_path / "run", **FULL, save_strategy="steps", save_steps=2, max_steps=3
    )

    def damage_after_step_2(trainer: SpeechTrainer) -> list[object]:
        step, weight = trainer.training_step, next(p for p in trainer.model.parameters() if p.requires_grad)

        def step_that_damages(*given: object) -> torch.Tensor:
            loss: torch.Tensor = step(*given)
            if trainer.state.global_step == 2:
                weight.data[0] = float("inf")
            return loss

        trainer.training_step = step_that_damages
        return []

    for _ in range(2):
        with pytest.raises(EartuneError, match=r"after step 3: .* are NaN or infinite.*--overwrite or in another"):
            train(config, watch=damage_after_step_2)
        assert json.loads((tmp_path / "run" / "last" / "origin.json").read_text())["step"] == 2
        assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-2"]
        assert all(value.isfinite().all() for value in weights_below(tmp_path / "run").values())
    assert train(config).steps == 3


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_a_checkpoint_with_values_that_are_not_finite_is_not_gone_on_from(
    file: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    config = configure(tiny_model, tiny_speech, tmp_path / "run", **FULL, max_steps=1)
    train(config)
    (tmp_path / "run" / "summary.json").unlink()
    path = tmp_path / "run" / "checkpoints" / "checkpoint-1" / file
    if file == "optimizer.pt":
        state = torch.load(path)
        next(iter(state["state"].values()))["exp_avg"].view(-1)[0] = float("nan")
        torch.save(state, path)
    else:
        weights = load_file(path)
        weights["model.encoder.conv1.bias"][0] = float("nan")
        save_file(weights, path, metadata={"format": "pt"})
    named = "model.encoder.conv1.bias" if file == "model.safetensors" else "the optimizer's exp_avg"
    with pytest.raises(EartuneError, match=rf"1 of the \d+ values of {named} are NaN or infinite"):
        train(config)
