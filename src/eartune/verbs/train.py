"""train: configuration and manifests -> a run with checkpoints, best/ and last/."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from transformers import set_seed

from eartune.base_model import BaseModel
from eartune.config import TrainConfig
from eartune.errors import InputError, Interrupted
from eartune.families.registry import family
from eartune.family import family_named
from eartune.manifest import Utterance
from eartune.model import SpeechModel
from eartune.origin import RunOrigin, origin_of_run
from eartune.reporting import Reporter, Silent
from eartune.run_dir import RunDir, RunSummary
from eartune.stopping import StopToken
from eartune.training.adaptation.adapter_files import load_weights
from eartune.training.adaptation.trainable import make_trainable
from eartune.training.arguments import training_arguments
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.epochs import plan_epochs
from eartune.training.checkpoints import newest_whole
from eartune.training.compiling import compile_layers
from eartune.training.device import (
    Precision,
    best_device,
    choose_gpu,
    describe_device,
    describe_precision,
    resolve_precision,
)
from eartune.training.encoder_cache import open_cache
from eartune.training.loop import Prepared, TrainedRun, Watch, run_trainer
from eartune.training.loss import SpeechLoss, spec_augment
from eartune.training.memory import fit_into_memory
from eartune.training.run_writer import COLUMNS, MEMORY_COLUMNS, RunWriter, write_start
from eartune.verbs import resume
from eartune.verbs.dataset import TrainingSpeech, check_speech, extend_vocabulary, read_speech
from eartune.verbs.library_logging import silence_libraries
from eartune.verbs.run_model import refuse_target, write_model

__all__ = ["TrainedRun", "train"]


def train(
    config: TrainConfig,
    *,
    reporter: Reporter | None = None,
    watch: Watch | None = None,
    stop: StopToken | None = None,
) -> TrainedRun:
    """Train as configured, or resume the same run where it was interrupted.

    `watch` is called with the trainer before the first step, and returns transformers callbacks to add to it. `stop`
    ends training after the current step once it is set, as Ctrl+C does, from any thread.
    Raises InputError for invalid data, names and paths before anything is written, and Interrupted after such a stop,
    with everything saved.
    """
    report = reporter or Silent()
    silence_libraries()
    assert config.run.output_dir is not None
    run = RunDir(config.run.output_dir)
    resume.refuse_foreign_folder(run, overwrite=config.run.overwrite)
    if config.run.export is not None:
        refuse_target(config.run.export, run)
    manifests = read_speech(config.data, report)
    choose_gpu(config.run.gpu)
    precision = resolve_precision(config.optimizer.precision, best_device())
    base, model = _load(config, report)
    extends = config.model.extend_vocabulary or config.model.new_vocabulary
    added = extend_vocabulary(model, manifests[0].utterances, report) if extends else ""
    data = check_speech(config.data, model, manifests, report)
    data = dataclasses.replace(data, remarks=(*data.remarks, *_unused_times(config, data.train, report)))
    origin = origin_of_run(config, base, data.description, added_characters=added)
    state = resume.compare(run, origin, overwrite=config.run.overwrite)
    if state.finished is not None:
        report.line(f"{run.root}: this run is finished; nothing to do (--overwrite trains it again)")
        _write_models(config, run, report, config.run.export)
        return _finished_run(config, run, state.finished)
    checkpoint = newest_whole(run.list_checkpoints(), report) if state.checkpoint is not None else None
    prepared = _prepare(config, run, model, data, origin, checkpoint, precision, report)
    try:
        trained = run_trainer(config, prepared, report, watch, stop or StopToken())
    except Interrupted:
        _write_models(config, run, report, config.run.export)
        raise
    return _finish(config, prepared.writer, dataclasses.replace(trained, remarks=data.remarks), report)


def _load(config: TrainConfig, report: Reporter) -> tuple[BaseModel, SpeechModel]:
    """Find the base model and load it."""
    assert config.model.base_model is not None
    report.line(f"base model: {config.model.base_model}")
    loader = family(config.family)
    base = loader.find(config.model.base_model, revision=config.model.revision, cache=config.model.model_cache)
    _require_archive(config.run.export, base)
    model = loader.load(
        base,
        task=config.data.task,
        language=config.data.language,
        language_token=config.data.language_token,
        new_vocabulary=config.model.new_vocabulary,
    )
    return base, model


def _prepare(
    config: TrainConfig,
    run: RunDir,
    model: SpeechModel,
    data: TrainingSpeech,
    origin: RunOrigin,
    checkpoint: Path | None,
    precision: Precision,
    report: Reporter,
) -> Prepared:
    """Plan the epochs, choose the trained parameters, and create the run's folder unless a checkpoint is resumed."""
    device = best_device()
    report.line(f"device: {describe_device(device)}, {describe_precision(precision, device)}")
    dataset = SpeechDataset(data.train, model)
    epochs = plan_epochs(config, dataset.clips(), model, device)
    arguments = training_arguments(
        config, output_dir=run.staging, epoch_steps=epochs.num_steps, device=device, precision=precision
    )
    set_seed(config.run.seed)
    model.network.to(device)
    adaptation = make_trainable(
        model, config, data.train, base_spec=origin.base_model.spec, precision=precision, report=report
    )
    if config.optimizer.gradient_checkpointing:
        model.network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if config.optimizer.torch_compile:
        compile_layers(model.network, model.blocks)
    cache = None
    if config.model.cache_encoder is not False:
        cache = open_cache(
            config.model.cache_encoder, model, data.train, plan=epochs.plan(0), precision=precision, report=report
        )
    if checkpoint is None:
        resume.delete(run)
        shown = {name: value for name, value in config.values().items() if value is not None and name != "overwrite"}
        write_start(run, origin, config=shown, initial=adaptation.initial)
    elif adaptation.initial is not None:
        adaptation = dataclasses.replace(adaptation, initial=load_weights(run.initial_adapter))
    loss = SpeechLoss(
        model,
        precision=precision,
        label_smoothing=config.optimizer.label_smoothing_factor,
        augment=spec_augment(config.window),
        cache=cache,
        fixed_norms=adaptation.fixed_norms,
    )
    if config.window.batch_seconds == "auto":
        epochs = fit_into_memory(epochs, loss, dataset, report)
    columns = COLUMNS + (MEMORY_COLUMNS if config.run.mem_report_steps else ()) if "csv" in config.run.report_to else ()
    writer = RunWriter(run, model, adaptation, origin, metrics_columns=columns)
    return Prepared(loss, writer, dataset, data.validation, epochs, arguments, checkpoint)


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
    if "packed_timestamps" in family_named(config.family).refused or not num_timed or config.window.packed_timestamps:
        return []
    remark = f"train: times of sentences in rows ({num_timed}) are not trained, as packed_timestamps is 0"
    report.line(remark)
    return [remark]


def _write_models(config: TrainConfig, run: RunDir, report: Reporter, *targets: Path | None) -> None:
    for target in filter(None, targets):
        write_model(run, target, takes_best=config.run_takes_best(), report=report)


def _finish(config: TrainConfig, writer: RunWriter, trained: TrainedRun, report: Reporter) -> TrainedRun:
    merged = writer.run.merged if config.run.merge_lora else None
    _write_models(config, writer.run, report, merged, config.run.export)
    trained = dataclasses.replace(trained, merged=merged, exported=config.run.export)
    places = {"path": None, "merged": merged.name if merged else None, "exported": None}
    writer.finish(RunSummary.model_validate(dataclasses.asdict(trained) | places))
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
