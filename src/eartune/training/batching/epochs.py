"""TrainConfig -> the number of steps per epoch, and the plan of each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from eartune.config import TrainConfig
from eartune.config.window import WindowSection
from eartune.family import family_named
from eartune.model import SpeechModel
from eartune.training.batching.plan import Limits, Step, plan_epoch
from eartune.training.batching.windows import UnplacedUtterance, WindowRules

# Fixed cost of a batch, as the seconds of encoder input computed in the same time: measured with
# whisper-tiny on a CPU; on a GPU from launch counts (thousands of kernels of some microseconds).
TRAINING_OVERHEAD_S = {"cpu": 4.0, "cuda": 128.0, "mps": 64.0}


@dataclass(frozen=True)
class Epochs:
    """The plans of a run. `limits` change the batches of a step, but not its speech."""

    clips: tuple[UnplacedUtterance, ...]
    rules: WindowRules
    num_steps: int
    by_count: bool
    limits: Limits
    seed: int

    def plan(self, epoch: int) -> list[Step]:
        return plan_epoch(
            self.clips,
            self.rules,
            num_steps=self.num_steps,
            by_count=self.by_count,
            limits=self.limits,
            seed=(self.seed, epoch),
        )

    def with_most_input(self, seconds: float) -> Epochs:
        """Return the same plans with passes of at most this much encoder input."""
        return replace(self, limits=replace(self.limits, input_s_total=min(self.limits.input_s_total, seconds)))


def plan_epochs(
    config: TrainConfig, clips: Sequence[UnplacedUtterance], model: SpeechModel, device: torch.device
) -> Epochs:
    """Compute the steps of an epoch from `batch_seconds`, or from utterances per batch and accumulation."""
    window, optimizer = config.window, config.optimizer
    cached = config.model.cache_encoder is not False
    rules = window_rules(window, model, cached=cached)
    # states are cached for one width; a batch of several widths would not find them
    overhead_s = 0.0 if cached else TRAINING_OVERHEAD_S.get(device.type, 0.0)
    if isinstance(window.batch_seconds, float):
        step_s = window.batch_seconds * optimizer.gradient_accumulation_steps
        num_steps = max(1, round(sum(clip.duration_s for clip in clips) / step_s))
        # steps of equal speech are a little over or under their size
        limits = Limits(speech_s=1.05 * window.batch_seconds, overhead_s=overhead_s)
    else:
        batch_size = optimizer.per_device_train_batch_size
        num_steps = math.ceil(len(clips) / (batch_size * optimizer.gradient_accumulation_steps))
        input_s_total = math.inf if window.batch_seconds == "auto" else batch_size * rules.window_s
        limits = Limits(input_s_total=input_s_total, overhead_s=overhead_s)
    return Epochs(
        clips=tuple(clips),
        rules=rules,
        num_steps=min(num_steps, len(clips)),
        by_count=not isinstance(window.batch_seconds, float),
        limits=limits,
        seed=config.run.seed,
    )


def window_rules(options: WindowSection, model: SpeechModel, *, cached: bool) -> WindowRules:
    return WindowRules(
        options,
        window_s=model.window.max_s,
        max_tokens=model.window.max_tokens,
        timestamp_step_s=model.window.position_s,
        writes_timestamps="packed_timestamps" not in family_named(model.family).refused,
        cached=cached,
    )
