"""Rules between options: defaults that depend on other options, short forms, and conflicts."""

from __future__ import annotations

import re
from pathlib import Path

from eartune.config.family import family_conflicts, fill_in_family
from eartune.config.family_text import filled
from eartune.config.method import fill_in_method, method_conflicts, name_of_method
from eartune.config.train_config import TrainConfig, with_values
from eartune.errors import InputError
from eartune.language_tokens import parse_stand_ins
from eartune.languages import language_code, unknown_language

WINDOW_OPTIONS = {
    "packed_gap": ("packed", "short"),
    "packed_alone": ("packed",),
    "short_margin": ("short",),
    "short_jitter": ("short",),
    "short_full": ("short",),
}
REPORTS = ("csv", "tensorboard", "wandb", "mlflow", "none")


def fill_in(config: TrainConfig) -> TrainConfig:
    """Replace short forms, and defaults that depend on other options, by their values."""
    for step in (
        fill_in_family,
        fill_in_method,
        _language,
        _precision,
        _optimizer,
        _windows,
        _schedule,
        _validation,
        _adapter,
        _names,
    ):
        config = step(config)
    return config


def disagreements(config: TrainConfig, *, complete: bool) -> list[str]:
    """List missing and conflicting options, one sentence each."""
    found = []
    if complete and not config.data.train:
        found.append("train: no training manifest is given; add --train data/train.jsonl")
    if complete and config.model.base_model is None:
        found.append(filled("base_model: no model is given; add --base-model {example}, a folder, {single_files}"))
    return (
        found
        + _language_conflicts(config)
        + _precision_conflicts(config)
        + _schedule_conflicts(config)
        + _validation_conflicts(config, complete=complete)
        + method_conflicts(config)
        + _window_conflicts(config)
        + family_conflicts(config)
    )


def _language(config: TrainConfig) -> TrainConfig:
    code = language_code(config.data.language or "")
    return with_values(config, config.provenance["language"], language=code) if code else config


def _precision(config: TrainConfig) -> TrainConfig:
    for name in ("bf16", "fp16"):
        if getattr(config.optimizer, name) and not config.given("precision"):
            config = with_values(config, config.provenance[name] + f" (as {name})", precision=name)
    both_off = config.optimizer.bf16 is False and config.optimizer.precision == "auto"
    return with_values(config, config.provenance["bf16"], precision="fp32") if both_off else config


def _optimizer(config: TrainConfig) -> TrainConfig:
    optimizer = config.optimizer
    if optimizer.fused_optim is not None and not config.given("optim"):
        optim = "adamw_torch_fused" if optimizer.fused_optim else "adamw_torch"
        config = with_values(config, config.provenance["fused_optim"] + " (as fused_optim)", optim=optim)
    return config


def _windows(config: TrainConfig) -> TrainConfig:
    # packed windows differ in each epoch, so their encoder outputs cannot be cached
    if config.model.cache_encoder is not False:
        for name, value in {"window": "short", "short_full": 0.0}.items():
            if not config.given(name):
                config = with_values(config, "default with cache_encoder", **{name: value})
    return config


def _schedule(config: TrainConfig) -> TrainConfig:
    optimizer = config.optimizer
    if optimizer.lr_scheduler_type == "none":
        where = config.provenance["lr_scheduler_type"] + " (as none)"
        return with_values(config, where, lr_scheduler_type="constant")
    if optimizer.is_schedule_free and not config.given("lr_scheduler_type"):
        config = with_values(config, f"default with {optimizer.optim}", lr_scheduler_type="constant")
    if optimizer.warmup_steps is None and optimizer.warmup_ratio is None:
        constant = optimizer.lr_scheduler_type == "constant" and not optimizer.is_schedule_free
        config = with_values(config, "default", warmup_ratio=0.0 if constant else 0.1)
    return config


def _validation(config: TrainConfig) -> TrainConfig:
    validation, run = config.validation, config.run
    if validation.eval_strategy is None:
        strategy = "steps" if validation.eval_steps is not None else "epoch"
        if not config.data.val:
            strategy = "no"
        config = with_values(config, "default", eval_strategy=strategy)
    if run.save_strategy is None:
        follows = {"steps": "steps", "epoch": "epoch", "no": "epoch"}[config.validation.eval_strategy or "no"]
        save = "steps" if run.save_steps is not None else follows
        config = with_values(config, "default", save_strategy=save)
        if save == "steps" and run.save_steps is None:
            config = with_values(config, "default (as eval_steps)", save_steps=validation.eval_steps)
    if validation.early_stopping_patience is not None and not config.given("early_stop"):
        config = with_values(config, "default, as early_stopping_patience is set", early_stop=True)
    elif validation.early_stop and validation.early_stopping_patience is None:
        config = with_values(config, "default", early_stopping_patience=4)
    return config


def _adapter(config: TrainConfig) -> TrainConfig:
    adapter = config.adapter
    if adapter.dora_ephemeral_offload:
        runtime = {**(adapter.runtime_config or {}), "ephemeral_gpu_offload": True}
        origin = config.provenance["dora_ephemeral_offload"] + " (as dora_ephemeral_offload)"
        config = with_values(config, origin, runtime_config=runtime)
    return config


def _names(config: TrainConfig) -> TrainConfig:
    reports = tuple("tensorboard" if name == "tb" else name for name in config.run.report_to)
    if reports != config.run.report_to:
        config = with_values(config, config.provenance["report_to"], report_to=reports)
    base = config.model.base_model
    if config.run.run_name is None and base is not None:
        stem = Path(base.rstrip("/\\")).name.removesuffix(".pt")
        parts = [stem, config.data.language, name_of_method(config)]
        name = re.sub(r"[^\w.-]+", "-", "-".join(part for part in parts if part))
        config = with_values(config, "default", run_name=name)
    if config.run.output_dir is None and config.run.run_name is not None:
        config = with_values(config, "default", output_dir=Path("runs") / config.run.run_name)
    return config


def _language_conflicts(config: TrainConfig) -> list[str]:
    language = config.data.language
    found = [] if language is None or language_code(language) else [f"language: {unknown_language(language)}"]
    try:
        parse_stand_ins(config.data.language_token)
    except InputError as error:
        found.append(str(error))
    return found


def _precision_conflicts(config: TrainConfig) -> list[str]:
    optimizer = config.optimizer
    found = []
    if optimizer.bf16 and optimizer.fp16:
        found.append("bf16 and fp16 are both true: keep one")
    elif (optimizer.bf16 and optimizer.precision != "bf16") or (optimizer.fp16 and optimizer.precision != "fp16"):
        short = "bf16" if optimizer.bf16 else "fp16"
        found.append(f"{short}: true and precision: {optimizer.precision} contradict each other: keep one")
    elif optimizer.precision in ("bf16", "fp16") and getattr(optimizer, optimizer.precision) is False:
        found.append(f"{optimizer.precision}: false and precision: {optimizer.precision} contradict each other")
    return found


def _schedule_conflicts(config: TrainConfig) -> list[str]:
    optimizer = config.optimizer
    found = []
    if optimizer.warmup_steps is not None and optimizer.warmup_ratio:
        found.append("warmup_steps and warmup_ratio are both set: keep one")
    if optimizer.is_schedule_free and optimizer.lr_scheduler_type != "constant":
        found.append(
            f"lr_scheduler_type: {optimizer.optim} averages the weights in place of a schedule, and warms up by "
            "itself: leave lr_scheduler_type out"
        )
    if optimizer.is_schedule_free and not optimizer.adam_beta1:
        found.append(f"adam_beta1: {optimizer.optim} needs more than 0; 0.9 is usual")
    if re.search("lomo|layerwise", optimizer.optim):
        found.append(
            f"optim: {optimizer.optim} changes the weights within each backward pass, and a step may have several "
            "here: choose another, such as adamw_torch_fused or adafactor"
        )
    if optimizer.min_lr is None:
        return found
    assert optimizer.learning_rate is not None
    if optimizer.lr_scheduler_type.startswith("constant"):
        found.append(
            f"min_lr: the learning rate never falls with lr_scheduler_type {optimizer.lr_scheduler_type}: "
            "set that to linear, cosine or inverse_sqrt, or remove min_lr"
        )
    elif optimizer.min_lr >= optimizer.learning_rate:
        found.append(
            f"min_lr: {optimizer.min_lr:g} is not below learning_rate, {optimizer.learning_rate:g}: "
            "a tenth of it is usual"
        )
    return found


def _validation_conflicts(config: TrainConfig, *, complete: bool) -> list[str]:
    validation, run = config.validation, config.run
    found = []
    if complete and not config.data.val:
        needing = {"early_stop": validation.early_stop, "eval_on_start": validation.eval_on_start}
        found += [f"{name}: needs validation data: set val" for name, is_set in needing.items() if is_set]
        if validation.eval_strategy != "no":
            found.append(f"eval_strategy: {validation.eval_strategy} needs validation data: set val")
    if validation.eval_strategy == "steps" and validation.eval_steps is None:
        found.append("eval_strategy: steps needs eval_steps")
    if run.save_strategy == "steps" and run.save_steps is None:
        found.append("save_strategy: steps needs save_steps")
    if validation.greater_is_better:
        found.append("greater_is_better: lower is better for wer, cer and loss: set it to false or remove it")
    if not validation.predict_with_generate and validation.metric_for_best_model != "loss" and config.data.val:
        found.append(
            f"metric_for_best_model: {validation.metric_for_best_model} needs decoding: "
            "set predict_with_generate to true, or the metric to loss"
        )
    found += [
        f"report_to: {name!r} is not one of {', '.join(REPORTS)}" for name in run.report_to if name not in REPORTS
    ]
    if "none" in run.report_to and len(run.report_to) > 1:
        found.append("report_to: none excludes all others")
    return found


def _window_conflicts(config: TrainConfig) -> list[str]:
    window, model = config.window, config.model
    found = []
    if isinstance(window.batch_seconds, float) and config.changed("per_device_train_batch_size"):
        found.append(
            f"batch_seconds: {window.batch_seconds:g} and per_device_train_batch_size both set the size of a batch: "
            "keep one (batch_seconds: auto uses both)"
        )
    for name, kinds in WINDOW_OPTIONS.items():
        if config.changed(name) and window.window not in kinds:
            found.append(f"{name}: is used with window {' or '.join(kinds)}, and window is {window.window}: remove it")
    masks = [name for name in type(window).model_fields if name.startswith("mask_") and config.changed(name)]
    if masks and not window.spec_augment:
        found.append(f"{masks[0]}: is used with spec_augment only: set it to true, or remove {masks[0]}")
    if model.cache_encoder is False:
        return found
    if config.partial.unfreeze_encoder_last:
        found.append("cache_encoder: unfreeze_encoder_last trains the encoder, so it changes: keep one")
    elif not model.freeze_encoder and (
        model.method == "full" or config.partial.train_norms or config.partial.train_bias
    ):
        found.append("cache_encoder: the encoder is trained, so it changes: set freeze_encoder true")
    if window.window == "packed":
        found.append("cache_encoder: packed windows differ in each epoch: set window short or padded")
    if window.spec_augment:
        found.append("cache_encoder: spec_augment changes the encoder's input in each epoch: keep one")
    return found
