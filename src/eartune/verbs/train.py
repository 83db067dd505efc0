"""train: configuration and manifests -> a run with checkpoints, best/ and last/."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments, set_seed

from eartune.base_model import BaseModel
from eartune.config import TrainConfig
from eartune.errors import InputError, Interrupted
from eartune.families.registry import family, load_model
from eartune.files import new_file, write_text_atomic
from eartune.manifest import Utterance
from eartune.origin import RunOrigin, origin_of_run, write_origin
from eartune.parsing import dump_yaml
from eartune.reporting import Reporter, Silent
from eartune.run_dir import RunDir, RunSummary, write_summary
from eartune.training.adaptation.adapter_files import Weights, load_weights, save_weights
from eartune.training.adaptation.trainable import Adaptation, make_trainable
from eartune.training.arguments import learning_rate_floor, training_arguments
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.epochs import Epochs, plan_epochs
from eartune.training.callbacks import Interruption, LastStep, MetricsFile, ProgressLine, TensorBoardFiles
from eartune.training.checkpoints import newest_whole
from eartune.training.compiling import compile_layers
from eartune.training.device import best_device, choose_gpu, describe_device, describe_precision, resolve_precision
from eartune.training.encoder_cache import open_cache
from eartune.training.forward import Forward
from eartune.training.memory import fit_into_memory
from eartune.training.memory_report import MemoryReport, memory_gib
from eartune.training.spec_augment import spec_augment
from eartune.training.trainer import SpeechTrainer
from eartune.training.validation import Validation
from eartune.verbs import resume
from eartune.verbs.dataset import check_speech, extend_vocabulary, read_speech
from eartune.verbs.library_logging import silence_libraries
from eartune.verbs.run_model import refuse_target, write_model

Watch = Callable[[SpeechTrainer], Iterable[TrainerCallback]]


@dataclass(frozen=True)
class TrainedRun:
    """The result of training. `best` and `validations` are error rates as fractions, empty without validation.

    `train_seconds` and `audio_seconds` are those of this call: of a resumed run, the part after its checkpoint;
    `waited_seconds` is the part of `train_seconds` spent waiting for audio to be read. `remarks` are about the speech
    it was trained on.
    """

    path: Path
    steps: int
    epochs: float
    train_seconds: float
    audio_seconds: float
    best: dict[str, float]
    validations: tuple[dict[str, float], ...]
    merged: Path | None
    waited_seconds: float = 0.0
    exported: Path | None = None
    remarks: tuple[str, ...] = ()


def train(config: TrainConfig, *, reporter: Reporter | None = None, watch: Watch | None = None) -> TrainedRun:
    """Train as configured, or resume the same run where it was interrupted.

    `watch` is called with the trainer before the first step, and returns transformers callbacks to add to it.
    Raises InputError for invalid data, names and paths before anything is written, and Interrupted after Ctrl+C,
    with everything saved.
    """
    report = reporter or Silent()
    silence_libraries()
    assert config.model.base_model is not None
    assert config.run.output_dir is not None
    run = RunDir(config.run.output_dir)
    resume.refuse_foreign_folder(run, overwrite=config.run.overwrite)
    if config.run.export is not None:
        refuse_target(config.run.export, run)
    manifests = read_speech(config.data, report)
    choose_gpu(config.run.gpu)
    device = best_device()
    precision = resolve_precision(config.optimizer.precision, device)
    family_module = family(config.family)
    report.line(f"base model: {config.model.base_model}")
    base = family_module.find(config.model.base_model, revision=config.model.revision, cache=config.model.model_cache)
    _require_archive(config.run.export, base)
    model = load_model(
        config.family,
        base,
        task=config.data.task,
        language=config.data.language,
        language_token=config.data.language_token,
    )
    added = extend_vocabulary(model, manifests[0].utterances, report) if config.model.extend_vocabulary else ""
    data = check_speech(config.data, model, manifests, report)
    data = dataclasses.replace(data, remarks=(*data.remarks, *_unused_times(config, data.train, report)))
    origin = origin_of_run(config, base, data.description, added_characters=added)
    state = resume.compare(run, origin, overwrite=config.run.overwrite)
    if state.finished is not None:
        report.line(f"{run.root}: this run is finished; nothing to do (--overwrite trains it again)")
        _write_models(config, run, report, config.run.export)
        return _finished_run(config, run, state.finished)
    checkpoint = newest_whole(run.list_checkpoints(), report) if state.checkpoint is not None else None
    report.line(f"device: {describe_device(device)}, {describe_precision(precision, device)}")
    dataset = SpeechDataset(data.train, model)
    epochs = plan_epochs(config, dataset.clips(), model, device)
    arguments = training_arguments(
        config, output_dir=run.root, epoch_steps=epochs.num_steps, device=device, precision=precision
    )
    set_seed(config.run.seed)
    model.network.to(device)
    adaptation = make_trainable(model, config, data.train, base_spec=base.spec, precision=precision, report=report)
    if config.optimizer.torch_compile:
        compile_layers(model.network, model.blocks)
    cache = None
    if config.model.cache_encoder is not False:
        cache = open_cache(
            config.model.cache_encoder, model, data.train, plan=epochs.plan(0), precision=precision, report=report
        )
    if checkpoint is None:
        _write_start(run, config, origin, adaptation.initial)
    elif adaptation.initial is not None:
        adaptation = dataclasses.replace(adaptation, initial=load_weights(run.initial_adapter))
    forward = Forward(
        model,
        device,
        precision,
        config.optimizer.label_smoothing_factor,
        spec_augment(config.window),
        cache,
        adaptation.fixed_norms,
    )
    if config.window.batch_seconds == "auto":
        epochs = fit_into_memory(epochs, forward, dataset, report)
    prepared = Prepared(forward, run, dataset, data.validation, epochs, arguments, origin, adaptation, checkpoint)
    try:
        trained = _run_trainer(config, prepared, report, watch)
    except Interrupted:
        _write_models(config, run, report, config.run.export)
        raise
    return _finish(config, run, dataclasses.replace(trained, remarks=data.remarks), report)


@dataclass(frozen=True)
class Prepared:
    """All inputs of the training loop besides the configuration."""

    forward: Forward
    run: RunDir
    dataset: SpeechDataset
    validation: tuple[Utterance, ...]
    epochs: Epochs
    arguments: TrainingArguments
    origin: RunOrigin
    adaptation: Adaptation
    checkpoint: Path | None


def _require_archive(target: Path | None, base: BaseModel) -> None:
    if target is not None and target.suffix == ".nemo" and base.kind != "nemo":
        raise InputError(
            f"export: {target} takes configuration and tokenizer from the .nemo file that training starts from, and "
            f"{base.spec} is not a .nemo; train, and then: "
            f"eartune export RUN --to nemo --original MODEL.nemo --out {target}"
        )


def _unused_times(config: TrainConfig, utterances: Sequence[Utterance], report: Reporter) -> list[str]:
    """Report that sentence times in the data are not trained, because the options disable them."""
    num_timed = sum(bool(utterance.segments) for utterance in utterances)
    if config.family != "whisper" or not num_timed or config.window.packed_timestamps:
        return []
    remark = f"train: times of sentences in rows ({num_timed}) are not trained, as packed_timestamps is 0"
    report.line(remark)
    return [remark]


def _write_start(run: RunDir, config: TrainConfig, origin: RunOrigin, initial: Weights | None) -> None:
    """Create the run's folder, replacing an earlier run if that is to be overwritten."""
    resume.delete(run)
    write_origin(run.root, origin)
    if initial is not None:
        with new_file(run.initial_adapter) as aside:
            save_weights(initial, aside)
    shown = {name: value for name, value in config.values().items() if value is not None and name != "overwrite"}
    write_text_atomic(run.config, dump_yaml(shown))


def _run_trainer(config: TrainConfig, prepared: Prepared, report: Reporter, watch: Watch | None) -> TrainedRun:
    interruption, progress = Interruption(report), ProgressLine(report)
    run, checkpoint = prepared.run, prepared.checkpoint

    def write_processor(folder: Path, step: int, metrics: dict[str, float]) -> None:
        prepared.forward.model.save_processor(folder)
        kind: Literal["adapter", "model"] = "adapter" if config.has_adapter() else "model"
        write_origin(folder, prepared.origin.of_weights(kind, parent=run.root, step=step, metrics=metrics))

    forward, validation = prepared.forward, None
    if prepared.validation:
        validation = Validation(prepared.validation, config.validation, forward, lambda: interruption.requested, report)
    trainer = SpeechTrainer(
        forward,
        run,
        arguments=prepared.arguments,
        train=prepared.dataset,
        epochs=prepared.epochs,
        validation=validation,
        adaptation=prepared.adaptation,
        layerwise_lr_decay=config.optimizer.layerwise_lr_decay,
        write_processor=write_processor,
        reporter=report,
        callbacks=[
            *_files(config, run),
            progress,
            *_memory_report(config, report),
            interruption,
            LastStep(),
            *_early_stopping(config),
        ],
        lowest_lr=learning_rate_floor(config),
        also_logged=partial(memory_gib, forward.device) if config.run.mem_report_steps else dict,
    )
    for callback in watch(trainer) if watch is not None else ():
        trainer.add_callback(callback)
    progress.trained_audio_s = lambda: trainer.audio_seconds
    if checkpoint is not None:
        report.line(f"resuming from {checkpoint.name}")
    began = time.monotonic()
    with interruption.handling_signals(), progress.stack:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if interruption.requested:
        raise Interrupted(
            f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps}, and saved in {run.root}; "
            f"give the same command again{' without --overwrite' if config.run.overwrite else ''} to go on"
        )
    return TrainedRun(
        path=run.root,
        steps=trainer.state.global_step,
        epochs=float(trainer.state.epoch or 0),
        train_seconds=time.monotonic() - began,
        audio_seconds=trainer.audio_seconds,
        waited_seconds=trainer.waited_seconds,
        best=_best(trainer.state.log_history, config.validation.metric_for_best_model),
        validations=tuple(_validations(trainer.state.log_history)),
        merged=None,
    )


def _files(config: TrainConfig, run: RunDir) -> list[TrainerCallback]:
    files: dict[str, TrainerCallback] = {
        "csv": MetricsFile(run.metrics, with_memory=config.run.mem_report_steps > 0),
        "tensorboard": TensorBoardFiles(run.tensorboard),
    }
    return [callback for name, callback in files.items() if name in config.run.report_to]


def _memory_report(config: TrainConfig, report: Reporter) -> list[TrainerCallback]:
    every_steps = config.run.mem_report_steps
    return [MemoryReport(report, every_steps=every_steps)] if every_steps else []


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


def _write_models(config: TrainConfig, run: RunDir, report: Reporter, *targets: Path | None) -> None:
    for target in filter(None, targets):
        write_model(run, target, takes_best=config.run_takes_best(), report=report)


def _finish(config: TrainConfig, run: RunDir, trained: TrainedRun, report: Reporter) -> TrainedRun:
    merged = run.merged if config.run.merge_lora else None
    _write_models(config, run, report, merged, config.run.export)
    trained = dataclasses.replace(trained, merged=merged, exported=config.run.export)
    places = {"path": None, "merged": merged.name if merged else None, "exported": None}
    write_summary(run, RunSummary.model_validate(dataclasses.asdict(trained) | places))
    return trained


def _finished_run(config: TrainConfig, run: RunDir, summary: RunSummary) -> TrainedRun:
    return TrainedRun(
        path=run.root,
        steps=summary.steps,
        epochs=summary.epochs,
        train_seconds=summary.train_seconds,
        audio_seconds=summary.audio_seconds,
        best=summary.best.figures if summary.best else {},
        validations=tuple(validation.figures for validation in summary.validations),
        merged=run.merged if summary.merged else None,
        waited_seconds=summary.waited_seconds,
        exported=config.run.export,
        remarks=tuple(summary.remarks),
    )
