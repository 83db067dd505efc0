"""Confidence intervals of error rates: bootstrap over utterances, for one model and for two on the same utterances.

Source: Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation".
"""
# N utterances, K columns of counts, R resamples

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eartune.errors import InputError
from eartune.scoring.counts import ErrorCounts, total

RESAMPLES = 1000
SEED = 0
INTERVAL_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class PairedDifference:
    """Error rate of the tuned model minus that of the base model: below zero, the tuned one is better."""

    difference: float
    interval: tuple[float, float]
    """95 %, (low, high)."""
    share_better: float
    """The share of resamples in which the tuned model has strictly fewer errors."""


def bootstrap_interval(counts: Sequence[ErrorCounts], *, seed: int = SEED) -> tuple[float, float]:
    """Return the 95 % percentile interval of a corpus' rate, resampling its utterances."""
    errors_R, length_R = _resample([(each.errors, each.reference_length) for each in counts], seed=seed)
    return _interval(_rates(errors_R, length_R))


def paired_bootstrap(
    base: Sequence[ErrorCounts], tuned: Sequence[ErrorCounts], *, seed: int = SEED
) -> PairedDifference:
    """Compare two models on the same utterances; each resample takes the same utterances of both.

    Raises InputError if they were not scored on the same references.
    """
    if len(base) != len(tuned):
        raise InputError(
            f"{len(base)} utterances of the base model and {len(tuned)} of the tuned one do not pair up; "
            "score both on the same manifest"
        )
    for index, (base_counts, tuned_counts) in enumerate(zip(base, tuned, strict=True)):
        if base_counts.reference_length != tuned_counts.reference_length:
            raise InputError(
                f"utterance {index}: the reference has length {base_counts.reference_length} for the base model "
                f"and {tuned_counts.reference_length} for the tuned one; score both on the same manifest"
            )
    rows = [(b.errors, t.errors, b.reference_length) for b, t in zip(base, tuned, strict=True)]
    base_R, tuned_R, length_R = _resample(rows, seed=seed)
    return PairedDifference(
        difference=total(tuned).rate - total(base).rate,
        interval=_interval(_rates(tuned_R - base_R, length_R)),
        share_better=float(np.mean(tuned_R < base_R)),
    )


def _resample(counts_NK: Sequence[tuple[int, ...]], *, seed: int) -> NDArray[np.int64]:
    """Sample N of N utterances with replacement, RESAMPLES times; return the sums of each of the K columns (K, R)."""
    assert counts_NK, "no utterances"
    table_NK = np.array(counts_NK, dtype=np.int64)
    num_utterances = len(table_NK)
    generator = np.random.default_rng(seed)
    # One resample at a time: all at once would take RESAMPLES x N numbers of memory.
    sums_RK = np.stack(
        [
            np.bincount(generator.integers(num_utterances, size=num_utterances), minlength=num_utterances) @ table_NK
            for _ in range(RESAMPLES)
        ]
    )
    return sums_RK.T


def _rates(errors_R: NDArray[np.int64], length_R: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return errors over lengths of the resamples with reference words; of all if none has any."""
    has_words_R = length_R > 0 if length_R.any() else np.full(len(length_R), True)
    rates_R: NDArray[np.float64] = errors_R[has_words_R] / np.maximum(length_R[has_words_R], 1)
    return rates_R


def _interval(rates_R: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(rates_R, INTERVAL_QUANTILES)
    return float(low), float(high)
