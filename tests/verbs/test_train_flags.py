"""The flags of the scripts that people come from: each arrives under its own name here, and changes what is trained."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from eartune.cli.train import parse
from eartune.config import TrainConfig, resolve_config
from eartune.reporting import Silent
from eartune.training.trainer import SpeechTrainer
from eartune.verbs.train import TrainedRun, train

STEPS = 4


class Lines(Silent):
    """Keeps the lines that a run shows."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def line(self, text: str) -> None:
        self.told.append(text)


@dataclass(frozen=True)
class Ran:
    """A run of four steps, and what there is to see of it."""

    config: TrainConfig
    trainer: SpeechTrainer
    trained: TrainedRun
    told: list[str]

    def logged(self, name: str) -> dict[int, float]:
        return {entry["step"]: entry[name] for entry in self.trainer.state.log_history if name in entry}

    def learning_rates(self) -> list[float]:
        """Return the learning rate of each step."""
        return [float(f"{rate:.3g}") for rate in self.logged("learning_rate").values()]

    def group(self, name: str) -> Any:
        return max(group[name] or 0 for group in self.trainer.optimizer.param_groups)

    def files(self) -> tuple[bool, bool]:
        return (self.trained.path / "metrics.csv").is_file(), (self.trained.path / "tensorboard").is_dir()

    def checkpoints(self) -> list[int]:
        return [int(path.name.rpartition("-")[2]) for path in self.trainer.writer.run.list_checkpoints()]

    def most_moved(self) -> float:
        """Return the largest weight of the adapters' second matrices, which begin as zeros."""
        named = self.trainer.model.named_parameters()
        return max(float(weight.detach().abs().max()) for name, weight in named if "lora_B" in name)


def run(words: list[str], model: Path, speech: Path, out: Path) -> Ran:
    """Train four steps of two clips each (three to an epoch) with the given words after the usual ones."""
    seen: list[SpeechTrainer] = []
    report = Lines()

    def watch(trainer: SpeechTrainer) -> Iterable[TrainerCallback]:
        seen.append(trainer)
        return ()

    usual = f"--base-model {model} --train {speech} --val {speech} --max-steps {STEPS} --generation-max-length 4"
    given = {"--outdir": str(out), "--lr": "1e-2", "--bs": "2", "--precision": "fp32", "--num_workers": "0"}
    given |= {"--term_report_steps": "1", "--sched": "none"}
    if "--preset" in words:
        given = {"--outdir": str(out), "--precision": "fp32", "--num_workers": "0"}
    if "--exp_dir" in words:
        del given["--outdir"]
    left = [word for name in given if name not in words for word in (name, given[name])]
    config = resolve_config(overrides=parse([*usual.split(), *left, *words]).overrides)
    trained = train(config, reporter=report, watch=watch)
    return Ran(config, seen[0], trained, report.told)


@pytest.fixture(scope="module")
def plain(tiny_model: Path, tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run([], tiny_model, tiny_speech, tmp_path_factory.mktemp("plain") / "run")


def cosine(share: float) -> float:
    return float(f"{1e-3 + (1e-2 - 1e-3) * (1 + math.cos(math.pi * share)) / 2:.3g}")


FLAGS: list[tuple[str, dict[str, Any], Callable[[Ran], Any], Any]] = [
    ("--log csv", {"report_to": ["csv"]}, Ran.files, (True, False)),
    ("--log tb", {"report_to": ["tensorboard"]}, Ran.files, (False, True)),
    ("--log none", {"report_to": ["none"]}, Ran.files, (False, False)),
    (
        "--early_stop --es_patience 1 --es_min_delta 10 --eval_steps 1",
        {"early_stop": True, "early_stopping_patience": 1, "early_stopping_threshold": 10.0},
        lambda ran: ran.trained.steps,
        2,
    ),
    ("--sched cosine --warmup_steps 0", {"lr_scheduler_type": "cosine"},
     lambda ran: ran.learning_rates()[-1], 1.46e-3),
    ("--sched cosine --warmup_steps 0 --min_lr 1e-3", {"lr_scheduler_type": "cosine", "min_lr": 1e-3},
     Ran.learning_rates, [1e-2, cosine(0.25), cosine(0.5), cosine(0.75)]),
    ("--sched inverse_sqrt --warmup_steps 1", {"lr_scheduler_type": "inverse_sqrt"},
     Ran.learning_rates, [0.0, 1e-2, 7.07e-3, 5.77e-3]),
    ("--sched inverse_sqrt --warmup_steps 1 --min_lr 6e-3", {"lr_scheduler_type": "inverse_sqrt", "min_lr": 6e-3},
     Ran.learning_rates, [0.0, 1e-2, 7.07e-3, 6e-3]),
    ("--sched inverse_sqrt --warmup_steps 2 --min_lr 9e-3", {"warmup_steps": 2, "min_lr": 9e-3},
     Ran.learning_rates, [0.0, 5e-3, 1e-2, 9e-3]),
    ("--sched linear --warmup_steps 0 --min_lr 2e-3", {"lr_scheduler_type": "linear", "min_lr": 2e-3},
     Ran.learning_rates, [1e-2, 8e-3, 6e-3, 4e-3]),
    ("--sched none --warmup_steps 2", {"lr_scheduler_type": "constant", "warmup_steps": 2},
     Ran.learning_rates, [0.0, 5e-3, 1e-2, 1e-2]),
    ("--sched none --warmup_ratio 0.5", {"lr_scheduler_type": "constant", "warmup_ratio": 0.5},
     Ran.learning_rates, [0.0, 5e-3, 1e-2, 1e-2]),
    ("--gradient_clip_val 1e-7 --optim sgd", {"max_grad_norm": 1e-7}, lambda ran: ran.most_moved() <= 4e-9, True),
    ("--bs 3", {"per_device_train_batch_size": 3}, lambda ran: ran.trainer.epochs.num_steps, 2),
    ("--accum 3", {"gradient_accumulation_steps": 3}, lambda ran: ran.trainer.epochs.num_steps, 1),
    ("--precision bf16", {"precision": "bf16"}, lambda ran: ran.trainer.loss.precision, "bf16"),
    ("--max_duration 1.25 --skip_bad", {"max_duration": 1.25, "skip_bad": True},
     lambda ran: len(ran.trainer.train_dataset.utterances), 3),
    ("--num_workers 1", {"dataloader_num_workers": 1}, lambda ran: ran.trainer.get_train_dataloader().num_workers, 1),
    ("--save_every 2", {"save_steps": 2, "save_strategy": "steps"}, Ran.checkpoints, [2, 4]),
    ("--val_every_n_steps 2", {"eval_steps": 2, "eval_strategy": "steps"},
     lambda ran: list(ran.logged("eval_loss")), [2, 4]),
    ("--val_bs 3", {"per_device_eval_batch_size": 3},
     lambda ran: ran.trainer.validation.options.per_device_eval_batch_size, 3),
    ("--term_report_steps 2", {"logging_steps": 2}, lambda ran: list(ran.logged("loss")), [2, 4]),
    ("--lr 1e-3", {"learning_rate": 1e-3}, lambda ran: ran.group("initial_lr"), 1e-3),
    ("--weight_decay 0.1", {"weight_decay": 0.1}, lambda ran: ran.group("weight_decay"), 0.1),
    ("--fused_optim false", {"optim": "adamw_torch"}, lambda ran: bool(ran.group("fused")), False),
    ("--mem_report_steps 2", {"mem_report_steps": 2},
     lambda ran: [line.split("]")[0] for line in ran.told if line.startswith("[MEM:")],
     ["[MEM:fit_start", "[MEM:step2", "[MEM:val_end", "[MEM:step4", "[MEM:val_end", "[MEM:fit_end"]),
    (
        "--preset a6000-fast",
        {"per_device_train_batch_size": 8, "mem_report_steps": 50},
        lambda ran: (ran.trainer.epochs.num_steps, ran.told[-1].split("]")[0]),
        (1, "[MEM:fit_end"),
    ),
    ("--preset a6000-max", {"per_device_train_batch_size": 12, "r": 32},
     lambda ran: (ran.trainer.epochs.num_steps, ran.trainer.loss.network.peft_config["default"].r), (1, 32)),
    ("--preset 4070ti", {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8},
     lambda ran: (ran.trainer.epochs.num_steps, ran.trainer.loss.network.is_gradient_checkpointing), (1, True)),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "options", "seen", "expected"), FLAGS, ids=[row[0] for row in FLAGS])
def test_a_flag_changes_what_is_trained(
    flags: str,
    options: dict[str, Any],
    seen: Callable[[Ran], Any],
    expected: Any,
    plain: Ran,
    tiny_model: Path,
    tiny_speech: Path,
    tmp_path: Path,
) -> None:
    ran = run(flags.split(), tiny_model, tiny_speech, tmp_path / "run")
    values = ran.config.values()
    assert {name: values[name] for name in options} == options
    assert seen(ran) == expected
    assert seen(plain) != expected, "without the flag it is otherwise"


def test_the_fused_optimiser_is_the_default_and_can_be_asked_for(
    plain: Ran, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    ran = run(["--fused_optim"], tiny_model, tiny_speech, tmp_path / "run")
    assert ran.group("fused") is True
    assert plain.group("fused") is True


def test_the_folder_may_be_called_exp_dir(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    ran = run(["--exp_dir", str(tmp_path / "experiment")], tiny_model, tiny_speech, tmp_path / "run")
    assert (tmp_path / "experiment" / "best").is_dir()
    assert ran.trained.path == tmp_path / "experiment"
    assert not (tmp_path / "run").exists()
