"""TrainConfig as transformers' TrainingArguments: what reaches the Trainer is what was configured."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.training.arguments import num_workers, training_arguments


def translate(epoch_steps: int = 10, **options: Any) -> TrainingArguments:
    given = {"base_model": "m", "train": "t.jsonl", "val": "v.jsonl", **options}
    config = resolve_config(overrides=[override(name, value) for name, value in given.items()])
    return training_arguments(
        config, output_dir=Path("run"), epoch_steps=epoch_steps, device=torch.device("cpu"), precision="fp32"
    )


@pytest.mark.parametrize(
    ("option", "value", "argument"),
    [
        ("lr", 3e-4, "learning_rate"),
        ("weight_decay", 0.01, "weight_decay"),
        ("gradient_clip_val", 0.5, "max_grad_norm"),
        ("epochs", 7.0, "num_train_epochs"),
        ("max_steps", 9, "max_steps"),
        ("adam_beta2", 0.98, "adam_beta2"),
        ("adam_epsilon", 1e-7, "adam_epsilon"),
        ("optim", "adafactor", "optim"),
        ("seed", 5, "seed"),
        ("logging_steps", 3, "logging_steps"),
        ("save_total_limit", 5, "save_total_limit"),
        ("warmup_steps", 11, "warmup_steps"),
        ("warmup_ratio", 0.25, "warmup_steps"),
        ("eval_steps", 13, "eval_steps"),
        ("eval_on_start", True, "eval_on_start"),
    ],
)
def test_an_option_reaches_the_trainer(option: str, value: Any, argument: str) -> None:
    assert getattr(translate(**{option: value}), argument) == value


@pytest.mark.parametrize(
    ("options", "kind", "extra"),
    [
        ({}, "linear", None),
        ({"sched": "cosine"}, "cosine", None),
        ({"sched": "cosine", "min_lr": 1e-6}, "cosine_with_min_lr", {"min_lr": 1e-6}),
        ({"sched": "inverse_sqrt"}, "inverse_sqrt", None),
        ({"sched": "inverse_sqrt", "min_lr": 1e-6}, "inverse_sqrt", None),
        ({"min_lr": 1e-6}, "polynomial", {"power": 1.0, "lr_end": 1e-6}),
        ({"sched": "none"}, "constant", None),
        ({"sched": "none", "warmup_steps": 5}, "constant_with_warmup", None),
        ({"sched": "polynomial", "lr_scheduler_kwargs": '{"power": 2}'}, "polynomial", {"power": 2}),
    ],
)
def test_schedules(options: dict[str, Any], kind: str, extra: dict[str, Any] | None) -> None:
    arguments = translate(**options)
    assert arguments.lr_scheduler_type == kind
    assert (arguments.lr_scheduler_kwargs or None) == extra


def test_epochs_are_counted_in_steps() -> None:
    arguments = translate(epoch_steps=6)
    assert (arguments.eval_steps, arguments.save_steps) == (6, 6)


def test_on_windows_nothing_but_the_process_itself_decodes_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert num_workers(None) == 0
    assert num_workers(2) == 2


def test_workers() -> None:
    assert num_workers(0) == 0
    assert num_workers(7) == 7
    assert 0 <= num_workers(None) <= 4
