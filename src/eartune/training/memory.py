"""Memory limits of a batch: measured before a run, and reduced when a pass did not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import psutil
import torch

from eartune.errors import EartuneError
from eartune.reporting import Reporter
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.epochs import Epochs
from eartune.training.batching.plan import Limits, MicroBatch
from eartune.training.loss import SpeechLoss

# share of free memory that a run may plan with; the rest is for fragmentation and other processes
USABLE = {"cuda": 0.85, "cpu": 0.5}
# on a CPU only tensors saved by autograd can be counted; temporary ones take about as much again
TRANSIENT = 2.0


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of torch means that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def release_memory(device: torch.device) -> None:
    """Release memory that torch has cached on the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def fit_into_memory(epochs: Epochs, loss: SpeechLoss, dataset: SpeechDataset, report: Reporter) -> Epochs:
    """Measure the capacity of a pass on the widest windows of the first epoch, and limit the plans to it."""
    steps = epochs.plan(0)
    batches = [batch for step in steps for batch in step]
    widest = max(batch.width_s for batch in batches)
    windows = [window for batch in batches if batch.width_s == widest for window in batch.windows]
    was_training = loss.training
    loss.train()

    def trial(count: int) -> float:
        batch = dataset[MicroBatch(tuple(windows[number % len(windows)] for number in range(count)), widest)]
        loss([batch]).backward()
        loss.zero_grad()
        return batch.input_s_total

    trained = sum(parameter.numel() for parameter in loss.parameters() if parameter.requires_grad)
    with torch.random.fork_rng():
        # gradients and AdamW's two moments, in float32
        input_s_total = max_input_s_total(trial, device=loss.device, optimizer_bytes=12 * trained)
    loss.train(was_training)
    fitting = epochs.with_most_input(input_s_total)
    largest_s = max(sum(batch.input_s_total for batch in step) for step in steps)
    num_passes = math.ceil(largest_s / input_s_total)
    report.line(
        f"batch_seconds: {input_s_total:.0f} s of encoder input fit into memory at once, and a step has "
        f"at most {largest_s:.0f} s: {num_passes} pass{'es' if num_passes > 1 else ''} per step"
    )
    return fitting


def max_input_s_total(trial: Callable[[int], float], *, device: torch.device, optimizer_bytes: int) -> float:
    """Measure how many seconds of encoder input one forward and backward pass can hold.

    `trial(n)` runs both on n windows and returns the seconds of encoder input; `optimizer_bytes` is what the optimiser
    will need besides. Raises EartuneError if not even one window fits.
    """
    try:
        # the first pass also makes one-time allocations
        trial(1)
        (small_s, small), (large_s, large) = (_measured(trial, count, device) for count in (1, 3))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise EartuneError(no_window_fits(device)) from None
    bytes_per_s = max((large - small) / (large_s - small_s), 1.0)
    free = free_bytes(device) * USABLE.get(device.type, 0.5) - optimizer_bytes
    if free < bytes_per_s * small_s:
        raise EartuneError(no_window_fits(device))
    return free / bytes_per_s


def no_window_fits(device: torch.device) -> str:
    place = "GPU" if device.type == "cuda" else "memory"
    return (
        f"the {place} is too small for one window: set window short or packed, gradient_checkpointing true, "
        "method lora, or use a smaller model"
    )


def _measured(trial: Callable[[int], float], count: int, device: torch.device) -> tuple[float, float]:
    """Return the seconds of encoder input, and the peak memory of the pass in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        input_s_total = trial(count)
        return input_s_total, float(torch.cuda.max_memory_allocated(device) - before)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        input_s_total = trial(count)
    return input_s_total, TRANSIENT * sum(kept.values())


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be allocated on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return int(psutil.virtual_memory().available)


def divide_into_passes(batches: Iterable[Batch], limits: Limits) -> list[list[Batch]]:
    """Divide batches into passes within the limits, at least one row in each."""
    found: list[list[Batch]] = []
    input_s_total = speech_s = 0.0
    for batch in _divided(batches, limits.input_s_total):
        input_s_total, speech_s = input_s_total + batch.input_s_total, speech_s + batch.speech_s
        if not found or input_s_total > limits.input_s_total or speech_s > limits.speech_s:
            found.append([])
            input_s_total, speech_s = batch.input_s_total, batch.speech_s
        found[-1].append(batch)
    return found


def _divided(batches: Iterable[Batch], input_s_total: float) -> Iterator[Batch]:
    for batch in batches:
        if batch.input_s_total <= input_s_total or len(batch.labels) == 1:
            yield batch
        else:
            yield from _divided(batch.halves(), input_s_total)
