"""Schedule-free optimisers train other weights than those to use: runs validate and save the latter."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from eartune.config import TrainConfig
from eartune.errors import InputError, Interrupted
from eartune.families.registry import family
from eartune.manifest import read_manifest
from eartune.reporting import Silent
from eartune.run_dir import RunDir
from eartune.stopping import StopToken
from eartune.training.loss import SpeechLoss
from eartune.training.validation import Validation
from eartune.verbs.train import train
from tests.verbs.test_train import configure as configure_run

OPTIMIZERS = ["schedule_free_adamw", "schedule_free_radam", "schedule_free_sgd"]


def configure(model: Path, speech: Path, out: Path, **options: object) -> TrainConfig:
    given = {
        "method": "full",
        "window": "short",
        "optim": "schedule_free_adamw",
        "learning_rate": 1e-3,
        "max_steps": 6,
        "generation_max_length": 4,
        "eval_steps": 2,
        "save_steps": 2,
        **options,
    }
    return configure_run(model, speech, out, **given)


def validation_loss(config: TrainConfig, folder: Path, speech: Path) -> float:
    whisper = family("whisper")
    model = whisper.load(whisper.find(str(folder)), language=None)
    utterances = read_manifest([speech]).utterances
    measured = Validation(utterances, config.validation, SpeechLoss(model), StopToken(), Silent())
    return measured.metrics(step=0)["eval_loss"]


@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_what_is_saved_is_what_was_validated(optim: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    averaged: list[dict[str, torch.Tensor]] = []

    class Trained(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, model: SpeechLoss, **__: object) -> None:
            averaged.append({name: weight.clone() for name, weight in model.network.state_dict().items()})

    config = configure(tiny_model, tiny_speech, tmp_path / "run", optim=optim)
    trained = train(config, watch=lambda _: (Trained(),))
    first, *_, last = trained.validations
    assert last["eval_loss"] < first["eval_loss"]
    assert validation_loss(config, trained.path / "last", tiny_speech) == pytest.approx(last["eval_loss"], rel=1e-5)
    saved = load_file(trained.path / "last" / "model.safetensors")
    name = "model.decoder.layers.0.fc1.weight"
    assert not torch.allclose(saved[name], averaged[-1][name], atol=1e-7, rtol=0), "the weights of the last step"


def test_a_stopped_run_goes_on_as_if_unbroken(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    stop = StopToken()

    class StopAfterFour(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, _: object, state: object, *__: object, **___: object) -> None:
            if state.global_step == 3:  # type: ignore[attr-defined]
                stop.set()

    config = configure(tiny_model, tiny_speech, tmp_path / "run")
    with pytest.raises(Interrupted):
        train(config, stop=stop, watch=lambda _: (StopAfterFour(),))
    assert (RunDir(tmp_path / "run").checkpoints / "checkpoint-4").is_dir()
    resumed = train(config)
    unbroken = train(configure(tiny_model, tiny_speech, tmp_path / "unbroken"))
    found, expected = (load_file(run.path / "last" / "model.safetensors") for run in (resumed, unbroken))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_warm_up_is_the_optimiser_s_own_and_no_schedule_is_added(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    rates: list[float] = []

    class Rates(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, optimizer: torch.optim.Optimizer, **__: object) -> None:
            rates.append(optimizer.param_groups[0]["scheduled_lr"])

    config = configure(tiny_model, tiny_speech, tmp_path / "run", warmup_ratio=0.5)
    assert config.optimizer.lr_scheduler_type == "constant"
    assert config.provenance["lr_scheduler_type"] == "default with schedule_free_adamw"
    trained = train(config, watch=lambda _: (Rates(),))
    assert rates == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3, 1e-3, 1e-3])
    origin = json.loads((trained.path / "origin.json").read_text())
    assert origin["config"]["optim"] == "schedule_free_adamw"


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"lr_scheduler_type": "cosine"}, "lr_scheduler_type: schedule_free_adamw averages the weights in place of"),
        ({"adam_beta1": 0.0}, "adam_beta1: schedule_free_adamw needs more than 0"),
        ({"optim": "lomo"}, "optim: lomo changes the weights within each backward pass"),
        ({"optim": "galore_adamw_layerwise"}, "optim: galore_adamw_layerwise changes the weights within each"),
    ],
)
def test_options_that_contradict_it_are_refused(
    options: dict[str, object], finding: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=finding):
        configure(tiny_model, tiny_speech, tmp_path / "run", **options)


@pytest.mark.parametrize(
    ("optim", "package"),
    [("galore_adamw", "galore-torch"), ("grokadamw", "grokadamw"), ("stable_adamw", "torch-optimi"),
     ("adamw_torch_4bit", "torchao"), ("paged_adamw_32bit", "bitsandbytes"), ("ademamix", "bitsandbytes")],
)  # fmt: skip
def test_a_package_that_is_missing_is_named_before_anything_is_written(
    optim: str, package: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=rf"optim {optim}: the package .* is not installed; run `pip install {package}`"
    ):
        train(configure(tiny_model, tiny_speech, tmp_path / "run", optim=optim))
    assert not (tmp_path / "run").exists()
