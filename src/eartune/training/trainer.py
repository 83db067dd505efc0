"""transformers' Trainer with features on the device, validation by decoding, and atomic checkpoints."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments

from eartune.errors import EartuneError
from eartune.files import new_directory
from eartune.reporting import Reporter
from eartune.run_dir import RunDir
from eartune.training.adaptation.adapter_files import save_adapter, save_as_trained
from eartune.training.adaptation.trainable import Adaptation
from eartune.training.arguments import set_floor
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.epochs import Epochs
from eartune.training.batching.loader import StepLoader, raise_unreadable
from eartune.training.batching.plan import Step
from eartune.training.decoding import Stopped
from eartune.training.divergence import DivergenceGuard
from eartune.training.forward import Forward
from eartune.training.layer_rates import slow_down_lower_layers
from eartune.training.memory import divide_into_passes, is_out_of_memory, no_window_fits, release_memory
from eartune.training.validation import Validation

# writes what later verbs need beside the weights: (folder, step, metrics of its validation)
WritesProcessor = Callable[[Path, int, dict[str, float]], None]


class SpeechTrainer(Trainer):  # type: ignore[misc]
    """Trains one speech model into one run directory."""

    control: TrainerControl

    def __init__(
        self,
        forward: Forward,
        run: RunDir,
        *,
        arguments: TrainingArguments,
        train: SpeechDataset,
        epochs: Epochs,
        validation: Validation | None,
        adaptation: Adaptation,
        layerwise_lr_decay: float | None,
        write_processor: WritesProcessor,
        reporter: Reporter,
        callbacks: Sequence[TrainerCallback],
        lowest_lr: float | None = None,
        also_logged: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self.forward = forward
        self.run = run
        self.epochs = epochs
        self.validation = validation
        self.adaptation = adaptation
        self.layerwise_lr_decay = layerwise_lr_decay
        self.write_processor = write_processor
        self.reporter = reporter
        self.lowest_lr = lowest_lr
        self.also_logged = also_logged
        # the last callback, so that it sees what the others request
        self.divergence = DivergenceGuard(forward.model.network)
        self.audio_seconds = 0.0
        self.waited_seconds = 0.0
        super().__init__(
            model=forward.model.network,
            args=arguments,
            train_dataset=train,
            eval_dataset=None if validation is None else validation.utterances,
            callbacks=[*callbacks, self.divergence],
        )
        # the base class adds its own printing of logs
        self.callback_handler.callbacks = [
            c for c in self.callback_handler.callbacks if type(c).__name__ != "PrinterCallback"
        ]

    # steps

    def get_train_dataloader(self) -> StepLoader:
        """Return the loader of planned steps. To the base class each is one batch, with nothing to accumulate."""
        return StepLoader(
            self.train_dataset,
            self._plan,
            num_steps=self.epochs.num_steps,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.device.type == "cuda",
        )

    def _plan(self, epoch: int) -> Iterable[Step]:
        plan = self.epochs.plan(epoch)
        return plan if self.forward.cache is None else self.forward.cache.with_keys(plan)

    def get_batch_samples(
        self, epoch_iterator: Iterator[list[Batch]], num_batches: int, device: torch.device
    ) -> tuple[list[list[Batch]], None]:
        """Take steps from the loader, and add up the time spent waiting for it."""
        began = time.monotonic()
        taken, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.waited_seconds += time.monotonic() - began
        raise_unreadable(taken)
        return taken, None

    def training_step(self, model: Any, inputs: list[Batch], num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ARG002
        """Accumulate the gradients of a step, batch by batch; its loss is the average over all its tokens.

        If memory runs out, the step is repeated in smaller batches, which later steps use as well.
        """
        self.forward.begin_training()
        self.audio_seconds += sum(batch.speech_s for batch in inputs)
        while True:
            divided = divide_into_passes(inputs, self.epochs.limits)
            try:
                return self._accumulated(divided)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            model.zero_grad()
            release_memory(self.args.device)
            self._halve(divided)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the base class's optimiser, with lower learning rates in lower layers if layerwise_lr_decay is set."""
        fresh = self.optimizer is None
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if fresh and self.layerwise_lr_decay is not None:
            tuned = self.forward.model
            note = slow_down_lower_layers(optimizer, tuned.network, tuned.blocks, self.layerwise_lr_decay)
            self.reporter.line(note)
        return optimizer

    def _accumulated(self, divided: Sequence[list[Batch]]) -> torch.Tensor:
        num_target_tokens = sum(batch.num_target_tokens for batches in divided for batch in batches)
        averaged = torch.zeros((), device=self.args.device)
        for batches in divided:
            loss = self.forward.training_loss(batches) / num_target_tokens
            self.accelerator.backward(loss)
            averaged += loss.detach()
        self.divergence.note_loss(averaged)
        return averaged

    def _halve(self, divided: Sequence[list[Batch]]) -> None:
        """Limit later passes to half the encoder input of the largest of these."""
        if max(len(batch.labels) for batches in divided for batch in batches) == max(map(len, divided)) == 1:
            raise EartuneError(no_window_fits(self.args.device))
        input_s_total = max(sum(batch.input_s_total for batch in batches) for batches in divided)
        self.epochs = self.epochs.with_most_input(input_s_total / 2)
        self.reporter.line(
            f"out of memory with {input_s_total:.0f} s of encoder input at once: continuing with "
            f"{input_s_total / 2:.0f} s, in more passes per step"
        )

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        is_new = self.lr_scheduler is None
        schedule = super().create_scheduler(num_training_steps, optimizer)
        if is_new and self.lowest_lr is not None:
            set_floor(schedule, self.lowest_lr, after_steps=self.args.get_warmup_steps(num_training_steps))
        return schedule

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **self.also_logged()}, start_time)

    def floating_point_ops(self, inputs: Batch) -> int:  # noqa: ARG002
        """Return 0: the base class would count tokens of text models."""
        return 0

    # validation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Decode and score the validation speech; an interruption leaves the metrics empty and ends training."""
        assert self.validation is not None
        try:
            metrics = self.validation.metrics(step=self.state.global_step) | {"epoch": self.state.epoch or 0.0}
        except Stopped:
            return {}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

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
        """Write a checkpoint to a staging folder and rename it, so that every checkpoint is complete."""
        self.divergence.require_finite_weights(self.state.global_step)
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
        # the base class adds its arguments as a pickle, which nothing reads
        assert output_dir is not None
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        if isinstance(self.model, PeftModel):
            # a resumed run reads it by PEFT's load_adapter, which also loads named weights outside of adapters
            save_as_trained(self.model, Path(output_dir), unfrozen=self.adaptation.unfrozen)
        else:
            self.model.save_pretrained(output_dir)

    def _write_model(self, folder: Path, metrics: dict[str, float]) -> None:
        """Write the current model for later verbs, in place of the previous one."""
        self.divergence.require_finite_weights(self.state.global_step)
        with new_directory(folder, replace=True) as staging:
            if isinstance(self.model, PeftModel):
                save_adapter(self.model, staging, initial=self.adaptation.initial, unfrozen=self.adaptation.unfrozen)
            else:
                self.model.save_pretrained(staging)
            self.write_processor(staging, self.state.global_step, metrics)


def _flush(path: Path) -> None:
    """Flush a file from memory to disk, before renaming marks it as complete."""
    if path.is_file():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
