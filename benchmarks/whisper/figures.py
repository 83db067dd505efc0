"""Measured blocks -> speeds and ratios. Values in, values out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

REFERENCE = "strong"
RESAMPLES = 2000
Quantity = Literal["training", "evaluation", "memory", "first_step"]

GUIDE = "guide"

# what is claimed: whose figure stands against whose
RATIOS: dict[str, tuple[str, str, Quantity]] = {
    "packed": ("packed", REFERENCE, "training"),
    "short": ("short", REFERENCE, "training"),
    "frozen_cached": ("frozen_cached", REFERENCE, "training"),
    "lora": ("lora", "peft", "training"),
    "default": ("default", GUIDE, "training"),
    "peak_memory": ("default", REFERENCE, "memory"),
    "first_step": ("default", REFERENCE, "first_step"),
    "evaluation": ("padded", REFERENCE, "evaluation"),
    "evaluation_short": ("short", REFERENCE, "evaluation"),
}


@dataclass(frozen=True)
class Block:
    """What a contender did in one go: `count` optimiser steps, or clips decoded.

    Without a GPU, `processor_seconds` far below `seconds` times threads say that the machine was busy otherwise.
    """

    count: int
    seconds: float
    audio_seconds: float
    processor_seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Hours of audio in an hour."""
        return self.audio_seconds / self.seconds


@dataclass
class Measured:
    """What was measured of one contender; the n-th blocks of all contenders belong to the same round."""

    first_step_begins_s: float = 0.0
    """From the start of the process: imports, data and model are behind it."""
    first_step_ends_s: float = 0.0
    training: list[Block] = field(default_factory=list)
    # Any: values of JSON, as the contender reported them
    training_report: dict[str, Any] = field(default_factory=dict)
    evaluation: list[Block] = field(default_factory=list)
    evaluation_report: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def memory_bytes(self) -> int | None:
        """The most memory that training took where it computes: reserved on the device, or resident on the host."""
        report = self.training_report
        return report.get("device_peak_reserved_bytes") or report.get("host_peak_bytes")


@dataclass(frozen=True)
class Ratio:
    """How many times better; `interval` is that of the median, 95 %."""

    median: float
    best: float
    interval: tuple[float, float]


def median_speed(blocks: Sequence[Block]) -> float:
    return statistics.median(block.speed for block in blocks)


def best_speed(blocks: Sequence[Block]) -> float:
    return max(block.speed for block in blocks)


def speed_ratio(blocks: Sequence[Block], reference: Sequence[Block], *, seed: int = 0) -> Ratio:
    """Compare speeds; each resample of the bootstrap takes the same rounds of both."""
    assert len(blocks) == len(reference)
    generator = np.random.default_rng(seed)
    ours_N, theirs_N = (np.array([block.speed for block in each]) for each in (blocks, reference))
    rounds_RN = generator.integers(len(blocks), size=(RESAMPLES, len(blocks)))
    ratios_R = np.median(ours_N[rounds_RN], axis=1) / np.median(theirs_N[rounds_RN], axis=1)
    low, high = np.quantile(ratios_R, (0.025, 0.975))
    return Ratio(
        median=median_speed(blocks) / median_speed(reference),
        best=best_speed(blocks) / best_speed(reference),
        interval=(float(low), float(high)),
    )


def ratio_of(quantity: Quantity, ours: Measured, reference: Measured) -> float | None:
    """Return how many times better `ours` is in one quantity, or None where it was not measured of both."""
    if quantity in ("training", "evaluation"):
        blocks: list[Block] = getattr(ours, quantity)
        others: list[Block] = getattr(reference, quantity)
        return median_speed(blocks) / median_speed(others) if blocks and others else None
    if quantity == "memory":
        most, least = reference.memory_bytes(), ours.memory_bytes()
    else:
        most, least = reference.first_step_begins_s, ours.first_step_begins_s  # type: ignore[assignment]
    return most / least if most and least else None


def ratios(contenders: Mapping[str, Measured]) -> dict[str, float]:
    """Return what is claimed, above 1 where eartune is better, for the contenders that took part."""
    found = {}
    for key, (name, reference, quantity) in RATIOS.items():
        if name in contenders and reference in contenders:
            ratio = ratio_of(quantity, contenders[name], contenders[reference])
            if ratio is not None:
                found[key] = ratio
    return found
