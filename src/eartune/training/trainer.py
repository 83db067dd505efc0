"""transformers' Trainer for planned steps: the loss is its model, and validation decodes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainingArguments

from eartune.errors import EartuneError
from eartune.reporting import Reporter
from eartune.training.arguments import set_floor
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.epochs import Epochs
from eartune.training.batching.loader import StepLoader, raise_unreadable
from eartune.training.batching.plan import Step
from eartune.training.decoding import Stopped
from eartune.training.divergence import DivergenceGuard
from eartune.training.layer_rates import slow_down_lower_layers
from eartune.training.loss import SpeechLoss
from eartune.training.memory import divide_into_passes, is_out_of_memory, no_window_fits, release_memory
from eartune.training.run_writer import RunWriter, load_checkpoint_weights
from eartune.training.validation import Validation


class SpeechTrainer(Trainer):  # type: ignore[misc]
    """Trains one speech model into one run directory.

    Its model is a SpeechLoss, which each pass calls with the batches of the pass: hooks on it, wrappers around it and
    torch.compile see every forward pass of the training.
    """

    control: TrainerControl

    def __init__(
        self,
        loss: SpeechLoss,
        writer: RunWriter,
        *,
        arguments: TrainingArguments,
        train: SpeechDataset,
        epochs: Epochs,
        validation: Validation | None,
        reporter: Reporter,
        callbacks: Sequence[TrainerCallback],
        layerwise_lr_decay: float | None = None,
        lowest_lr: float | None = None,
        also_logged: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self.loss = loss
        self.writer = writer
        self.epochs = epochs
        self.validation = validation
        self.layerwise_lr_decay = layerwise_lr_decay
        self.reporter = reporter
        self.lowest_lr = lowest_lr
        self.also_logged = also_logged
        self.audio_seconds = 0.0
        self.waited_seconds = 0.0
        # the last callback, so that it sees what the others request
        self.divergence = DivergenceGuard(loss.network)
        super().__init__(
            model=loss,
            args=arguments,
            train_dataset=train,
            eval_dataset=None if validation is None else validation.utterances,
            callbacks=[writer, *callbacks, self.divergence],
        )
        # logs are shown by the reporter
        self.remove_callback(PrinterCallback)

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
        return plan if self.loss.cache is None else self.loss.cache.with_keys(plan)

    def get_batch_samples(
        self, epoch_iterator: Iterator[list[Batch]], num_batches: int, device: torch.device
    ) -> tuple[list[list[Batch]], None]:
        """Take steps from the loader, and add up the time spent waiting for it."""
        began = time.monotonic()
        taken, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.waited_seconds += time.monotonic() - began
        raise_unreadable(taken)
        return taken, None

    def training_step(
        self,
        model: nn.Module,
        inputs: list[Batch],
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> torch.Tensor:
        """Accumulate the gradients of a step, pass by pass; its loss is the average over all its tokens.

        If memory runs out, the step is repeated in smaller passes, which later steps use as well.
        """
        model.train()
        self.optimizer.train()
        self.audio_seconds += sum(batch.speech_s for batch in inputs)
        while True:
            passes = divide_into_passes(inputs, self.epochs.limits)
            try:
                return self._accumulated(model, passes)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            model.zero_grad()
            release_memory(self.args.device)
            self._halve(passes)

    def _accumulated(self, model: nn.Module, passes: Sequence[list[Batch]]) -> torch.Tensor:
        num_target_tokens = sum(batch.num_target_tokens for batches in passes for batch in batches)
        averaged = torch.zeros((), device=self.args.device)
        for batches in passes:
            loss = model(batches) / num_target_tokens
            self.accelerator.backward(loss)
            averaged += loss.detach()
        self.divergence.note_loss(averaged)
        return averaged

    def _halve(self, passes: Sequence[list[Batch]]) -> None:
        """Limit later passes to half the encoder input of the largest of these."""
        if max(len(batch.labels) for batches in passes for batch in batches) == max(map(len, passes)) == 1:
            raise EartuneError(no_window_fits(self.args.device))
        input_s_total = max(sum(batch.input_s_total for batch in batches) for batches in passes)
        self.epochs = self.epochs.with_most_input(input_s_total / 2)
        self.reporter.line(
            f"out of memory with {input_s_total:.0f} s of encoder input at once: continuing with "
            f"{input_s_total / 2:.0f} s, in more passes per step"
        )

    # optimiser

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the base class's optimiser, with lower learning rates in lower layers if layerwise_lr_decay is set."""
        fresh = self.optimizer is None
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if fresh and self.layerwise_lr_decay is not None:
            tuned = self.loss.model
            note = slow_down_lower_layers(optimizer, tuned.network, tuned.blocks, self.layerwise_lr_decay)
            self.reporter.line(note)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        is_new = self.lr_scheduler is None
        schedule = super().create_scheduler(num_training_steps, optimizer)
        if is_new and self.lowest_lr is not None:
            set_floor(schedule, self.lowest_lr, after_steps=self.args.get_warmup_steps(num_training_steps))
        return schedule

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **self.also_logged()}, start_time)

    # validation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Decode and score the validation speech; a run that is stopped meanwhile has measured nothing."""
        assert self.validation is not None
        # schedule-free optimisers train other weights than those to use
        self.optimizer.eval()
        try:
            metrics = self.validation.metrics(step=self.state.global_step) | {"epoch": self.state.epoch or 0.0}
        except Stopped:
            # never the best
            return {f"eval_{self.args.metric_for_best_model}": math.inf}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # checkpoints

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights of a checkpoint; RunWriter moves it into its place once the base class added the rest."""
        assert output_dir is not None
        self.optimizer.eval()
        self.writer.write_weights(Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
        # the counterpart of save_model, which has no public name: the base class would look for its model's own names
        load_checkpoint_weights(self.loss.network, Path(resume_from_checkpoint))
