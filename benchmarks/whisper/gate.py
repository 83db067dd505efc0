"""The contenders' measuring: transformers' Trainer held at the boundaries of its steps, clocks, memory, weights."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl

from benchmarks.whisper.machine import host_peak_bytes
from benchmarks.whisper.protocol import Benchmark


class Gate(TrainerCallback):  # type: ignore[misc]
    """Give it to a Trainer as a callback, let it train without end, and call `report` when it returns.

    `audio_seconds` says how much audio has been trained on, given how many optimiser steps are done.
    """

    def __init__(self, benchmark: Benchmark, audio_seconds: Callable[[int], float]) -> None:
        self.benchmark = benchmark
        self.audio_seconds = audio_seconds
        self.weights = ""
        self.granted = self.left = 0
        self.audio_before = 0.0
        self.clock = Clock()

    def on_step_begin(self, args: Any, state: Any, control: TrainerControl, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        if not self.weights:
            self.benchmark.ready()
            # after the clock of the start has stopped, and before anything is trained
            self.weights = hash_of_weights(model)
            self._wait(control)

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        self.left -= 1
        if self.left:
            return
        times, audio_seconds = self.clock.read(), self.audio_seconds(state.global_step)
        if torch.cuda.is_available():
            # the other contenders share the device's memory
            torch.cuda.empty_cache()
        self.benchmark.done(**times, steps=self.granted, audio_seconds=audio_seconds - self.audio_before)
        self.audio_before = audio_seconds
        self._wait(control)

    def _wait(self, control: TrainerControl) -> None:
        request = self.benchmark.request()
        if request["do"] == "train":
            self.granted = self.left = request["steps"]
            self.clock = Clock()
        else:
            control.should_training_stop = True

    def report(self, folder: Path) -> None:
        """Answer the request that ended training."""
        self.benchmark.done(initial_weights=self.weights, **resources(folder))


class Clock:
    """Measures what is done from its making until it is read, on the device too."""

    def __init__(self) -> None:
        self.began_s, self.processor_began_s = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return the seconds that went by and those that processors worked for this process."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return {
            "seconds": time.perf_counter() - self.began_s,
            "processor_seconds": time.process_time() - self.processor_began_s,
        }


def resources(folder: Path) -> dict[str, int | None]:
    """Return what this process took at its most, and what it wrote into its folder."""
    cuda = torch.cuda.is_available()
    return {
        "host_peak_bytes": host_peak_bytes(),
        "device_peak_allocated_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "device_peak_reserved_bytes": torch.cuda.max_memory_reserved() if cuda else None,
        "disk_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }


def hash_of_weights(network: nn.Module) -> str:
    """Hash the weights of a network, without those of adapters on it, whatever wraps it (a loss, PEFT)."""
    weights = {}
    for name, parameter in network.named_parameters():
        if "lora_" not in name:
            bare = name.removeprefix("network.").removeprefix("base_model.model.").replace(".base_layer", "")
            weights[bare] = parameter
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()
