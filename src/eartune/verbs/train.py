"""train: configuration and manifests -> a run with checkpoints, best/ and last/."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from transformers import EarlyStoppingCallback, TrainerCallback, set_seed

from eartune.base_model import BaseModel
from eartune.config import TrainConfig
from eartune.errors import Interrupted, raise_findings
from eartune.families.registry import family
from eartune.files import write_json_atomic, write_text_atomic
from eartune.manifest import Manifest, Utterance, read_manifest
from eartune.reporting import Reporter, Silent, clock
from eartune.run_dir import RunDir, describe_data, write_origin
from eartune.speech_model import SpeechModel
from eartune.training import adapter_files
from eartune.training.adapters import attach, changes_base, count_parameters, freeze_encoder, lora_config
from eartune.training.arguments import training_arguments
from eartune.training.batches import SpeechDataset, collate, to_inputs
from eartune.training.callbacks import Interruption, LastStep, LossGuard, MetricsFile, ProgressLine, TensorBoardFiles
from eartune.training.device import Precision, best_device, choose_gpu, describe_device, resolve_precision
from eartune.training.loss import token_loss
from eartune.training.targets import resolve_targets
from eartune.training.trainer import SpeechTrainer
from eartune.verbs import continuing
from eartune.verbs.merge import merge
from eartune.verbs.quiet import quieten_libraries

# how many batches an initialisation that looks at data gets to see
NUM_SAMPLE_BATCHES = 8
SAMPLE_BATCH_SIZE = 8


@dataclass(frozen=True)
class TrainedRun:
    """The result of training. `best` and `validations` are error rates as fractions, empty without validation."""

    path: Path
    steps: int
    epochs: float
    train_seconds: float
    audio_seconds: float
    best: dict[str, float]
    validations: tuple[dict[str, float], ...]
    merged: Path | None


@dataclass(frozen=True)
class _Speech:
    """The data of a run, checked."""

    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    description: dict[str, Any]


def train(config: TrainConfig, *, reporter: Reporter | None = None) -> TrainedRun:
    """Train as configured, or go on where the same run was interrupted.

    Raises InputError for wrong data, names and places before anything is written, and Interrupted after Ctrl+C,
    with everything saved.
    """
    report = reporter or Silent()
    quieten_libraries()
    assert config.model.base_model is not None
    assert config.run.output_dir is not None
    run = RunDir(config.run.output_dir)
    continuing.refuse_foreign_folder(run, overwrite=config.run.overwrite)
    manifests = _read_manifests(config, report)
    choose_gpu(config.run.gpu)
    device = best_device()
    precision = resolve_precision(config.optimizer.precision, device)
    door = family(config.family)
    report.line(f"base model: {config.model.base_model}")
    base = door.find(config.model.base_model, revision=config.model.revision, cache=config.model.model_cache)
    speech = door.load(base, task=config.data.task, language=config.data.language)
    data = _check_speech(config, speech, manifests, report)
    facts = _facts(config, base, data.description)
    state = continuing.compare(run, facts, overwrite=config.run.overwrite)
    if state.finished is not None:
        report.line(f"{run.root}: this run is finished; nothing to do (--overwrite trains it again)")
        return _finished_run(run, state.finished)
    report.line(f"device: {describe_device(device)}, {precision}")
    set_seed(config.run.seed)
    speech.network.to(device)
    initial = _make_trainable(config, speech, base, data, run, resumed=state.checkpoint is not None, report=report)
    _write_start(run, config, facts)
    trained = _run_trainer(config, speech, data, run, facts, precision, initial, state.checkpoint, report)
    return _finish(config, run, trained, report)


def _read_manifests(config: TrainConfig, report: Reporter) -> tuple[Manifest, Manifest | None]:
    settings: dict[str, Any] = {
        "default_language": config.data.language,
        "skip_bad": config.data.skip_bad,
        "max_duration_s": config.data.max_duration,
    }
    train_speech = read_manifest(config.data.train, **settings)
    validation = read_manifest(config.data.val, **settings) if config.data.val else None
    for manifest in (train_speech, validation):
        if manifest is not None and manifest.skipped:
            report.line(f"left out {len(manifest.skipped)} rows that cannot be used, the first: {manifest.skipped[0]}")
    return train_speech, validation


def _check_speech(
    config: TrainConfig, speech: SpeechModel, manifests: tuple[Manifest, Manifest | None], report: Reporter
) -> _Speech:
    """Check every utterance against the limits of the model."""
    kept: list[tuple[Utterance, ...]] = []
    findings: list[str] = []
    for manifest in manifests:
        utterances = manifest.utterances if manifest is not None else ()
        reasons = speech.findings(utterances)
        findings += [f"{u.source}: {reason}" for u, reason in zip(utterances, reasons, strict=True) if reason]
        kept.append(tuple(u for u, reason in zip(utterances, reasons, strict=True) if reason is None))
    if findings and not config.data.skip_bad:
        raise_findings(findings, summary="These utterances do not fit the model:", advice="--skip-bad leaves them out.")
    if findings:
        report.line(f"left out {len(findings)} utterances that do not fit the model, the first: {findings[0]}")
    raise_findings([] if kept[0] else [f"{config.data.train[0]}: no utterance is left to train on"])
    train_speech, validation = manifests
    description = {"train": describe_data(kept[0], config.data.train, skipped=_skipped(train_speech, kept[0]))}
    if validation is not None:
        description["val"] = describe_data(kept[1], config.data.val, skipped=_skipped(validation, kept[1]))
    for name, facts in description.items():
        report.line(f"{name}: {facts['utterances']} utterances, {clock(facts['seconds'])} of speech")
    return _Speech(kept[0], kept[1], description)


def _skipped(manifest: Manifest, kept: tuple[Utterance, ...]) -> int:
    return len(manifest.skipped) + len(manifest.utterances) - len(kept)


def _make_trainable(
    config: TrainConfig,
    speech: SpeechModel,
    base: BaseModel,
    data: _Speech,
    run: RunDir,
    *,
    resumed: bool,
    report: Reporter,
) -> adapter_files.Weights | None:
    """Attach the adapter or open all weights. Returns the adapter's first value where saving needs it later."""
    initial = None
    if config.model.method == "lora":
        targets = resolve_targets(
            speech.network, config.adapter, speech.blocks, freeze_encoder=config.model.freeze_encoder
        )
        for note in targets.notes:
            report.line(note)
        adapter = lora_config(config.adapter, targets)
        adapter.base_model_name_or_path = base.spec
        speech.network = attach(
            speech.network, adapter, sample_batches=lambda: _sample_batches(speech, data.train), loss=_plain_loss
        )
        if changes_base(adapter):
            initial = _initial_adapter(speech.network, run, resumed=resumed)
    if config.model.freeze_encoder:
        freeze_encoder(speech.network, speech.blocks)
    for count in count_parameters(speech.network, speech.blocks):
        report.line(f"{count.block}: {count.trained:,} of {count.total:,} parameters trained")
    return initial


def _initial_adapter(network: nn.Module, run: RunDir, *, resumed: bool) -> adapter_files.Weights:
    if resumed:
        return adapter_files.load_weights(run.initial_adapter)
    initial = adapter_files.adapter_weights(network)
    run.root.mkdir(parents=True, exist_ok=True)
    adapter_files.save_weights(initial, run.initial_adapter)
    return initial


def _sample_batches(speech: SpeechModel, utterances: tuple[Utterance, ...]) -> Iterable[dict[str, torch.Tensor]]:
    """Give the first utterances in batches, as keyword arguments of the network and labels."""
    chosen = utterances[: NUM_SAMPLE_BATCHES * SAMPLE_BATCH_SIZE]
    examples = SpeechDataset(chosen, speech)
    device = next(speech.network.parameters()).device
    for start in range(0, len(chosen), SAMPLE_BATCH_SIZE):
        rows = range(start, min(start + SAMPLE_BATCH_SIZE, len(chosen)))
        batch = collate([examples[row] for row in rows], pad_token_id=speech.pad_token_id())
        yield to_inputs({name: value.to(device) for name, value in batch.items()}, speech)


def _plain_loss(network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return token_loss(network(**inputs), batch["labels"])


def _facts(config: TrainConfig, base: BaseModel, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "family": config.family,
        "method": config.model.method,
        "task": config.data.task,
        "language": config.data.language,
        "base_model": base.to_json(),
        "data": data,
        "config": config.values(),
        "provenance": dict(config.provenance),
        "decides": config.that_changes_training(),
    }


def _write_start(run: RunDir, config: TrainConfig, facts: dict[str, Any]) -> None:
    run.recover()
    write_origin(run.root, kind="run", **facts)
    shown = {name: value for name, value in config.values().items() if value is not None and name != "overwrite"}
    write_text_atomic(run.config, yaml.safe_dump(shown, allow_unicode=True, sort_keys=False))


def _run_trainer(
    config: TrainConfig,
    speech: SpeechModel,
    data: _Speech,
    run: RunDir,
    facts: dict[str, Any],
    precision: Precision,
    initial: adapter_files.Weights | None,
    checkpoint: Path | None,
    report: Reporter,
) -> TrainedRun:
    interruption, progress = Interruption(report), ProgressLine(report)

    def write_companions(folder: Path, state: dict[str, Any]) -> None:
        speech.save_companions(folder)
        kind = "adapter" if config.model.method == "lora" else "model"
        known = {name: facts[name] for name in ("family", "method", "task", "language", "base_model", "data", "config")}
        write_origin(folder, kind=kind, **known, parent=str(run.root), **state)

    trainer = SpeechTrainer(
        speech,
        run,
        arguments=training_arguments(
            config,
            output_dir=run.root,
            num_examples=len(data.train),
            device=next(speech.network.parameters()).device,
            precision=precision,
        ),
        train=SpeechDataset(data.train, speech),
        validation=data.validation,
        validation_options=config.validation,
        label_smoothing=config.optimizer.label_smoothing_factor,
        precision=precision,
        initial_adapter=initial,
        write_companions=write_companions,
        should_stop=lambda: interruption.asked,
        reporter=report,
        callbacks=[*_files(config, run), progress, interruption, LastStep(), LossGuard(), *_early_stopping(config)],
    )
    progress.trained_audio_s = lambda: trainer.audio_seconds
    if checkpoint is not None:
        report.line(f"going on from {checkpoint.name}")
    began = time.monotonic()
    with interruption.listening(), progress.stack:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if interruption.asked:
        raise Interrupted(
            f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps}, and saved in {run.root}; "
            "give the same command again to go on"
        )
    return TrainedRun(
        path=run.root,
        steps=trainer.state.global_step,
        epochs=float(trainer.state.epoch or 0),
        train_seconds=time.monotonic() - began,
        audio_seconds=trainer.audio_seconds,
        best=_best(trainer.state.log_history, config.validation.metric_for_best_model),
        validations=tuple(_validations(trainer.state.log_history)),
        merged=None,
    )


def _files(config: TrainConfig, run: RunDir) -> list[TrainerCallback]:
    files: dict[str, TrainerCallback] = {
        "csv": MetricsFile(run.metrics),
        "tensorboard": TensorBoardFiles(run.tensorboard),
    }
    return [callback for name, callback in files.items() if name in config.run.report_to]


def _early_stopping(config: TrainConfig) -> list[TrainerCallback]:
    validation = config.validation
    if not validation.early_stop:
        return []
    return [EarlyStoppingCallback(validation.early_stopping_patience or 1, validation.early_stopping_threshold)]


def _validations(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    names = ("step", "eval_wer", "eval_cer", "eval_loss")
    return [{n: entry[n] for n in names if n in entry} for entry in history if "eval_loss" in entry]


def _best(history: list[dict[str, Any]], metric: str) -> dict[str, float]:
    measured = [entry for entry in _validations(history) if f"eval_{metric}" in entry]
    return min(measured, key=lambda entry: entry[f"eval_{metric}"]) if measured else {}


def _finish(config: TrainConfig, run: RunDir, trained: TrainedRun, report: Reporter) -> TrainedRun:
    if config.run.merge_lora:
        checkpoint = "best" if config.run_takes_best() and run.best.is_dir() else "last"
        report.line(f"merging {checkpoint}/ into its base model")
        if run.merged.exists():
            shutil.rmtree(run.merged)
        merge(str(run.root), out=run.merged)
        trained = dataclasses.replace(trained, merged=run.merged)
    summary = dataclasses.asdict(trained) | {"path": None, "merged": "merged" if trained.merged else None}
    write_json_atomic(run.finished, summary)
    return trained


def _finished_run(run: RunDir, summary: dict[str, Any]) -> TrainedRun:
    merged = run.merged if summary["merged"] else None
    values = {**summary, "path": run.root, "merged": merged, "validations": tuple(summary["validations"])}
    return TrainedRun(**values)
