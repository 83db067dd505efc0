"""TrainConfig -> transformers' TrainingArguments, and a lower bound of the learning rate."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainingArguments

from eartune.config import TrainConfig
from eartune.errors import InputError, raise_findings
from eartune.training.device import Precision

MAX_DEFAULT_WORKERS = 4
# schedule -> its variant that ends at min_lr; inverse_sqrt has no end, so the trainer applies set_floor to it
LOWEST: dict[str, tuple[str, dict[str, Any]]] = {
    "cosine": ("cosine_with_min_lr", {}),
    "linear": ("polynomial", {"power": 1.0}),
    "polynomial": ("polynomial", {}),
}


# parts of transformers' names of optimisers -> the package that has them, as it is imported and as it is installed
OPTIMIZER_PACKAGES: tuple[tuple[str, str, str], ...] = (
    ("schedule_free", "schedulefree", "schedulefree"),
    ("galore", "galore_torch", "galore-torch"),
    ("apollo", "apollo_torch", "apollo-torch"),
    ("grokadamw", "grokadamw", "grokadamw"),
    ("stable_adamw", "optimi", "torch-optimi"),
    ("adamw_torch_4bit", "torchao", "torchao"),
    ("adamw_torch_8bit", "torchao", "torchao"),
    ("bnb", "bitsandbytes", "bitsandbytes"),
    ("_8bit", "bitsandbytes", "bitsandbytes"),
    ("_32bit", "bitsandbytes", "bitsandbytes"),
    ("ademamix", "bitsandbytes", "bitsandbytes"),
)

# (step) -> factor of the peak learning rate
LrLambda = Callable[[int], float]


def training_arguments(
    config: TrainConfig, *, output_dir: Path, epoch_steps: int, device: torch.device, precision: Precision
) -> TrainingArguments:
    """Translate the configuration. Files, logs and progress, which eartune writes itself, are switched off here.

    Epochs become steps: transformers evaluates and saves at the end of an epoch, after the checkpoint of its last step;
    a run killed in between would resume without that evaluation.
    """
    _require_packages(config)
    try:
        return TrainingArguments(**_arguments(config, output_dir, epoch_steps, device, precision))
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"the configuration is refused by transformers: {str(error).splitlines()[0][:300]}") from None


def _require_packages(config: TrainConfig) -> None:
    """Raise InputError for packages that this configuration needs and that are not installed."""
    needed = {name: (name, name) for name in config.run.report_to if name in ("wandb", "mlflow")}
    optim = config.optimizer.optim
    package_of_optim = next(((module, package) for part, module, package in OPTIMIZER_PACKAGES if part in optim), None)
    if package_of_optim is not None:
        needed[f"optim {optim}"] = package_of_optim
    missing = [
        f"{what}: the package {package} is not installed; run `pip install {package}`, or choose another"
        for what, (module, package) in needed.items()
        if importlib.util.find_spec(module) is None
    ]
    raise_findings(missing)


def _arguments(
    config: TrainConfig, output_dir: Path, epoch_steps: int, device: torch.device, precision: Precision
) -> dict[str, Any]:
    optimizer, validation, run = config.optimizer, config.validation, config.run
    workers = num_workers(config.data.dataloader_num_workers)
    warmup = optimizer.warmup_steps if optimizer.warmup_steps is not None else optimizer.warmup_ratio
    if optimizer.is_schedule_free and warmup and warmup < 1:
        # these optimisers warm up themselves, and take a number of steps only
        warmup = math.ceil(warmup * (optimizer.max_steps or math.ceil(optimizer.num_train_epochs * epoch_steps)))
    return dict(
        output_dir=str(output_dir),
        # the Trainer gets each planned step as one batch, so it has nothing to accumulate
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        per_device_eval_batch_size=validation.per_device_eval_batch_size,
        num_train_epochs=optimizer.num_train_epochs,
        max_steps=optimizer.max_steps or -1,
        learning_rate=optimizer.learning_rate,
        # transformers reads a value below 1 as a share of all steps
        warmup_steps=warmup or 0,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.adam_beta1,
        adam_beta2=optimizer.adam_beta2,
        adam_epsilon=optimizer.adam_epsilon,
        max_grad_norm=optimizer.max_grad_norm,
        optim=optimizer.optim,
        use_cpu=device.type == "cpu",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        seed=run.seed,
        data_seed=run.seed,
        full_determinism=optimizer.full_determinism,
        eval_strategy="no" if validation.eval_strategy == "no" else "steps",
        eval_steps=epoch_steps if validation.eval_strategy == "epoch" else validation.eval_steps,
        eval_on_start=validation.eval_on_start,
        save_strategy="steps",
        save_steps=run.save_steps if run.save_strategy == "steps" else epoch_steps,
        save_total_limit=run.save_total_limit,
        metric_for_best_model=validation.metric_for_best_model if config.data.val else None,
        greater_is_better=False if config.data.val else None,
        restore_callback_states_from_checkpoint=True,
        logging_strategy="steps",
        logging_steps=run.logging_steps,
        logging_nan_inf_filter=False,
        dataloader_num_workers=workers,
        report_to=[name for name in run.report_to if name not in ("csv", "tensorboard", "none")] or "none",
        run_name=run.run_name,
        remove_unused_columns=False,
        disable_tqdm=True,
        **_scheduler(config),
    )


def num_workers(wanted: int | None) -> int:
    """Return the number of data loading processes: `wanted`, else one per core up to a limit, none on Windows."""
    if wanted is not None:
        return wanted
    return 0 if sys.platform == "win32" else min(MAX_DEFAULT_WORKERS, os.cpu_count() or 1)


def learning_rate_floor(config: TrainConfig) -> float | None:
    """Return the lower bound of the learning rate if its schedule has no end."""
    return config.optimizer.min_lr if config.optimizer.lr_scheduler_type == "inverse_sqrt" else None


def _scheduler(config: TrainConfig) -> dict[str, Any]:
    optimizer = config.optimizer
    kind: str = optimizer.lr_scheduler_type
    extra = dict(optimizer.lr_scheduler_kwargs or {})
    if optimizer.min_lr is not None and kind in LOWEST:
        kind, further = LOWEST[kind]
        extra = further | extra | {"min_lr" if kind == "cosine_with_min_lr" else "lr_end": optimizer.min_lr}
    if kind == "constant" and not optimizer.is_schedule_free and (optimizer.warmup_steps or optimizer.warmup_ratio):
        kind = "constant_with_warmup"
    return {"lr_scheduler_type": kind, "lr_scheduler_kwargs": extra or None}


def set_floor(schedule: LambdaLR, lowest_lr: float, *, after_steps: int) -> None:
    """Keep a schedule's learning rates at `lowest_lr` or above, except during warmup, before `after_steps`."""
    schedule.lr_lambdas = [
        _with_floor(lr_lambda, lowest_lr / float(peak), after_steps)
        for lr_lambda, peak in zip(schedule.lr_lambdas, schedule.base_lrs, strict=True)
    ]


def _with_floor(lr_lambda: LrLambda, lowest: float, after_steps: int) -> LrLambda:
    return lambda step: max(lr_lambda(step), lowest) if step >= after_steps else lr_lambda(step)
