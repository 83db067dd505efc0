"""transformers' Trainer with features on the device, validation by real decoding, and checkpoints that are whole."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments

from eartune.config.sections import ValidationSection
from eartune.files import new_directory
from eartune.manifest import Utterance
from eartune.reporting import Reporter
from eartune.run_dir import RunDir
from eartune.scoring import Scores, score
from eartune.speech_model import DecodeOptions, SpeechModel
from eartune.training.adapter_files import Weights, save_adapter
from eartune.training.batches import Batch, SpeechDataset, collator, to_inputs
from eartune.training.decoding import Stopped, decode_utterances
from eartune.training.device import Precision, autocast
from eartune.training.loss import token_loss

# writes what later verbs need beside the weights: (folder, facts)
Companions = Callable[[Path, dict[str, Any]], None]


class SpeechTrainer(Trainer):  # type: ignore[misc]
    """Trains one speech model into one run directory."""

    control: TrainerControl

    def __init__(
        self,
        speech: SpeechModel,
        run: RunDir,
        *,
        arguments: TrainingArguments,
        train: SpeechDataset,
        validation: Sequence[Utterance],
        validation_options: ValidationSection,
        label_smoothing: float,
        precision: Precision,
        initial_adapter: Weights | None,
        write_companions: Companions,
        should_stop: Callable[[], bool],
        reporter: Reporter,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        self.speech = speech
        self.run = run
        self.validation = tuple(validation)
        self.validation_set = SpeechDataset(self.validation, speech)
        self.validation_options = validation_options
        self.precision: Precision = precision
        self.initial_adapter = initial_adapter
        self.write_companions = write_companions
        self.should_stop = should_stop
        self.reporter = reporter
        self.audio_seconds = 0.0
        super().__init__(
            model=speech.network,
            args=arguments,
            data_collator=collator(speech),
            train_dataset=train,
            eval_dataset=self.validation or None,
            compute_loss_func=partial(token_loss, label_smoothing=label_smoothing),
            callbacks=list(callbacks),
        )
        # the base class adds its own printing of logs
        self.callback_handler.callbacks = [
            c for c in self.callback_handler.callbacks if type(c).__name__ != "PrinterCallback"
        ]

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        if "waveforms" not in inputs:
            return dict(super()._prepare_inputs(inputs))
        self.audio_seconds += float(inputs["audio_seconds"])
        return to_inputs(super()._prepare_inputs(inputs), self.speech)

    def floating_point_ops(self, inputs: Batch) -> int:  # noqa: ARG002
        """Count nothing: the base class counts tokens of text models."""
        return 0

    # validation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Decode and score the validation speech; an interruption leaves the metrics empty and ends training."""
        try:
            metrics = self._measure()
        except Stopped:
            return {}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _measure(self) -> dict[str, float]:
        metrics = {"eval_loss": self._validation_loss()}
        if self.validation_options.predict_with_generate:
            scores = self._validation_scores()
            metrics |= {"eval_wer": scores.words.rate, "eval_cer": scores.chars.rate}
        return metrics

    def _validation_scores(self) -> Scores:
        options = DecodeOptions(
            max_length=self.validation_options.generation_max_length,
            num_beams=self.validation_options.generation_num_beams,
            window=self.validation_options.eval_window,
        )
        with self.reporter.task("validating", len(self.validation)) as task:
            hypotheses = decode_utterances(
                self.speech,
                self.validation,
                batch_size=self.args.per_device_eval_batch_size,
                options=options,
                precision=self.precision,
                task=task,
                should_stop=self.should_stop,
            )
        references = [utterance.text for utterance in self.validation]
        return score(references, hypotheses, languages=[self.speech.language_of(u) for u in self.validation])

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Average the loss over all tokens of the validation speech."""
        loader = DataLoader(
            self.validation_set,
            batch_size=self.args.per_device_eval_batch_size,
            collate_fn=collator(self.speech),
        )
        was_training = self.model.training
        self.model.eval()
        summed, count = 0.0, 0
        try:
            for batch in loader:
                if self.should_stop():
                    raise Stopped
                inputs = to_inputs({name: value.to(self.args.device) for name, value in batch.items()}, self.speech)
                labels = inputs.pop("labels")
                with autocast(self.args.device, self.precision):
                    summed += float(token_loss(self.model(**inputs), labels, num_items_in_batch=1))
                count += int((labels >= 0).sum())
        finally:
            self.model.train(was_training)
        return summed / count if count else math.nan

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        is_best = bool(metrics) and bool(super()._determine_best_metric(metrics, trial))
        if is_best:
            self._write_model(self.run.best, metrics)
        return is_best

    # files

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002
        return str(self._staging)

    @property
    def _staging(self) -> Path:
        return self.run.checkpoints / ".writing"

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint aside and rename it, so that a checkpoint that is there is whole."""
        name = f"checkpoint-{self.state.global_step}"
        final = self.run.checkpoints / name
        shutil.rmtree(self._staging, ignore_errors=True)
        super()._save_checkpoint(model, trial)
        written = self._staging / name
        for path in written.rglob("*"):
            _flush(path)
        if final.exists():
            shutil.rmtree(final)
        written.replace(final)
        shutil.rmtree(self._staging, ignore_errors=True)
        for outdated in self.run.list_checkpoints()[: -self.args.save_total_limit]:
            shutil.rmtree(outdated)
        self._write_model(self.run.last, {})

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002
        # the base class adds its arguments as a pickle, which nobody reads
        assert output_dir is not None
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(output_dir)

    def _write_model(self, folder: Path, metrics: dict[str, float]) -> None:
        """Write the model as it is now for later verbs, in place of the one before."""
        with new_directory(folder, replace=True) as aside:
            if isinstance(self.model, PeftModel):
                save_adapter(self.model, aside, initial=self.initial_adapter)
            else:
                self.model.save_pretrained(aside)
            self.write_companions(aside, {"step": self.state.global_step, "metrics": metrics})


def _flush(path: Path) -> None:
    """Make sure that a file is on the disk, not only in memory, before its name says that it is whole."""
    if path.is_file():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
