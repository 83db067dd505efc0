"""Guard against divergence: a run ends at the step whose loss or weights are not finite, before it replaces files."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eartune.errors import EartuneError
from eartune.weights import network_weights, require_finite

ADVICE = (
    "training diverged. Lower learning_rate or weight_decay, raise warmup_steps, or use precision bf16 or fp32 instead "
    "of fp16, and begin again with --overwrite or in another output_dir"
)
_NO_STEP = torch.iinfo(torch.int64).max


class DivergenceGuard(TrainerCallback):  # type: ignore[misc]
    """Checks the loss and the trained weights of each step.

    Reading a value from an accelerator waits for all queued kernels. So the first step that diverged is recorded on
    the device, and read only when something is logged, evaluated or saved.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._trained: list[torch.Tensor] = []
        self._loss = torch.zeros(())
        # the first step that diverged, and its loss
        self._first = torch.tensor(_NO_STEP)
        self._first_loss = torch.zeros(())

    def note_loss(self, loss: torch.Tensor) -> None:
        """Record the loss of the current step."""
        self._loss = loss.detach().float()

    def on_train_begin(
        self, _: TrainingArguments, state: TrainerState, __: TrainerControl, optimizer: Any = None, **___: Any
    ) -> None:
        self._trained = [weight for weight in self.network.parameters() if weight.requires_grad and weight.numel()]
        advice = f"delete checkpoint-{state.global_step} to resume from the one before" if state.global_step else ADVICE
        where = f"the weights after step {state.global_step}"
        require_finite(network_weights(self.network), where=where, advice=advice, error=EartuneError)
        states = {} if optimizer is None else optimizer.state
        moments = (
            (f"the optimizer's {name}", value)
            for values in states.values()
            for name, value in values.items()
            if isinstance(value, torch.Tensor)
        )
        require_finite(moments, where=where, advice=advice, error=EartuneError)

    @torch.no_grad()
    def on_step_end(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        self._first, self._first_loss = self._first.to(self._loss.device), self._first_loss.to(self._loss.device)
        norms = torch.stack([norm.float() for norm in torch._foreach_norm(self._trained)])
        is_first = (self._first == _NO_STEP) & ~torch.isfinite(norms.sum() + self._loss)
        self._first = torch.where(is_first, state.global_step, self._first)
        self._first_loss = torch.where(is_first, self._loss, self._first_loss)
        is_due = control.should_log or control.should_evaluate or control.should_save
        if is_due or self._loss.device.type == "cpu" or state.global_step >= state.max_steps:
            self._raise_if_diverged()

    def _raise_if_diverged(self) -> None:
        step, loss = int(self._first), float(self._first_loss)
        if step == _NO_STEP:
            return
        if not math.isfinite(loss):
            raise EartuneError(f"the loss is {loss} at step {step}: {ADVICE}")
        require_finite_weights(self.network, step)
        # the weights are finite, but the sum of their squares overflowed float32
        self._first.fill_(_NO_STEP)


def require_finite_weights(network: nn.Module, step: int) -> None:
    """Raise EartuneError if a weight or statistic of the network is not finite; call it before writing them."""
    require_finite(network_weights(network), where=f"after step {step}", advice=ADVICE, error=EartuneError)
