"""Runs -> what a contender needs, and how many times less eartune needs of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# the first steps compile kernels and fill caches
WARM_UP_STEPS = 2


@dataclass(frozen=True)
class Needs:
    """Medians over runs; a step is the mean of a run's steps after its first ones, which all contenders share."""

    step_seconds: float
    step_processor_seconds: float
    first_step_begins_s: float
    import_seconds: float
    peak_bytes: float


def needs(runs: Sequence[Mapping[str, Any]]) -> Needs:
    """Take the medians of what the runs of one contender noted."""
    steps = [run["steps"][WARM_UP_STEPS:] for run in runs]
    assert all(steps), "runs have more steps than warm up"
    return Needs(
        step_seconds=statistics.median(_mean(of_run, "seconds") for of_run in steps),
        step_processor_seconds=statistics.median(_mean(of_run, "processor_seconds") for of_run in steps),
        first_step_begins_s=statistics.median(run["first_step_begins_s"] for run in runs),
        import_seconds=statistics.median(run["import_seconds"] for run in runs),
        peak_bytes=statistics.median(run["peak_bytes"] for run in runs),
    )


def ratios(ours: Needs, theirs: Needs) -> dict[str, float]:
    """Return how many times as much as eartune the other needs."""
    own = asdict(ours)
    return {name: value / own[name] for name, value in asdict(theirs).items()}


def _mean(steps: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.fmean(step[name] for step in steps)
