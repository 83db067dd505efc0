"""Comparison of the model's hypotheses with those of an export.

Error rates are fractions; limits and messages are in points (1 point is 1 % of the reference's words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eartune.errors import InputError, nearest
from eartune.scoring import ErrorCounts, paired_bootstrap, score

NUM_SHOWN = 20
FLOAT_LIMIT, EIGHT_BIT_LIMIT, FOUR_BIT_LIMIT = 0.2, 1.0, 2.0
LIMITS_POINTS = (
    dict.fromkeys(("float32", "float16", "bfloat16", "f32", "f16", "bf16"), FLOAT_LIMIT)
    | dict.fromkeys(("int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"), EIGHT_BIT_LIMIT)
    | dict.fromkeys(("q8_0", "q6_k", "q5_0", "q5_1", "q5_k"), EIGHT_BIT_LIMIT)
    | dict.fromkeys(("q4_0", "q4_1", "q4_k"), FOUR_BIT_LIMIT)
)
"""Largest change of the WER, in points, by kind of quantisation."""
_LOGITS = {FLOAT_LIMIT: 0.05, EIGHT_BIT_LIMIT: 0.5, FOUR_BIT_LIMIT: 0.75}
LOGIT_LIMITS = {kind: _LOGITS[points] for kind, points in LIMITS_POINTS.items()}
"""Largest `logit_distance` from the model, by kind of quantisation.

Of tiny.en, the most sensitive model: float16 0.004, q8_0 0.04, int8 0.12, q5_0 0.27, q4_0 0.51; with one matrix of its
decoder or encoder transposed 0.8 to 1.1.
"""

# Rounding changes wrong words into other wrong ones, so more words differ than the WER changes: in int8, tiny.en writes
# 6 % of the words of an unknown domain differently, at the same WER; with whisper.cpp's flash attention alone, 2 % in
# float16. Beyond this many times the limit it is a different model, even if its WER is the same.
BETWEEN_FACTOR = 25


@dataclass(frozen=True)
class Cost:
    """Cost of an export: seconds to load and to decode, and of the speech decoded; bytes of memory and on disk.

    `peak_memory_bytes` is what loading and decoding added to the process, or None if it was not measured.
    """

    load_s: float
    decode_s: float
    speech_s: float
    peak_memory_bytes: int | None
    size_bytes: int

    @property
    def real_time_factor(self) -> float:
        """Seconds of decoding for a second of speech."""
        return self.decode_s / self.speech_s

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"real_time_factor": self.real_time_factor}


@dataclass(frozen=True)
class Difference:
    """An utterance whose words differ between model and export, by its index."""

    index: int
    reference: str
    model: str
    exported: str

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "reference": self.reference,
            "model": self.model,
            "artefact": self.exported,
        }


@dataclass(frozen=True)
class Parity:
    """Word errors of the model and of the export against the references, and of the export against the model."""

    quantization: str
    num_utterances: int
    model: ErrorCounts
    exported: ErrorCounts
    between: ErrorCounts
    num_differing: int
    differing: tuple[Difference, ...]
    """The first NUM_SHOWN."""
    cost: Cost
    limit_points: float
    change_interval: tuple[float, float]
    """95 % interval of the change of the WER, in points, from resampled utterances."""
    model_interval: tuple[float, float]
    export_interval: tuple[float, float]
    """95 % intervals of the two WERs, from resampled utterances."""

    @property
    def change_points(self) -> float:
        """WER of the export minus that of the model."""
        return 100 * (self.exported.rate - self.model.rate)

    @property
    def failures(self) -> list[str]:
        """The findings beyond the limits.

        A change of the WER counts only if it is significant, that is if its interval does not include zero.
        A single word never counts: there is no smaller change.
        """
        found = []
        if self._is_beyond_limit and not self.may_be_chance:
            found.append(f"its WER changed by {self._change}, the limit is {self.limit_points:g}")
        limit = BETWEEN_FACTOR * self.limit_points
        if self.between.errors > 1 and _exceeds(100 * self.between.rate, limit):
            found.append(
                f"{100 * self.between.rate:.2f} % of the words differ from the model's, the limit is {limit:g} %"
            )
        return found

    @property
    def may_be_chance(self) -> bool:
        low, high = self.change_interval
        return low <= 0 <= high or abs(self.exported.errors - self.model.errors) <= 1

    @property
    def passes(self) -> bool:
        return not self.failures

    @property
    def verdict(self) -> str:
        """One line: whether it passes, and what differs."""
        summary = (
            f"WER {100 * self.model.rate:.2f} % of the model, {100 * self.exported.rate:.2f} % of the export"
            f" ({self.quantization}), {self.num_differing} of {self.num_utterances} sentences differ"
        )
        if self.failures:
            return f"fails: {'; '.join(self.failures)} ({summary})"
        if self._is_beyond_limit:
            summary += f"; it changed by {self._change}, which is not significant with so few sentences"
        return f"passes: {summary}"

    @property
    def _is_beyond_limit(self) -> bool:
        return _exceeds(abs(self.change_points), self.limit_points)

    @property
    def _change(self) -> str:
        low, high = self.change_interval
        return f"{self.change_points:+.2f} points ({low:+.2f} to {high:+.2f})"

    def to_json(self) -> dict[str, Any]:
        return {
            "passes": self.passes,
            "verdict": self.verdict,
            "quantization": self.quantization,
            "limit_points": self.limit_points,
            "change_points": self.change_points,
            "change_points_interval_95": list(self.change_interval),
            "model_wer": self.model.rate,
            "artefact_wer": self.exported.rate,
            "model_wer_interval_95": list(self.model_interval),
            "artefact_wer_interval_95": list(self.export_interval),
            "between_wer": self.between.rate,
            "model_words": self.model.to_json(),
            "artefact_words": self.exported.to_json(),
            "between_words": self.between.to_json(),
            "num_utterances": self.num_utterances,
            "num_differing": self.num_differing,
            "differing": [each.to_json() for each in self.differing],
            "cost": self.cost.to_json(),
        }


def compare(
    references: Sequence[str],
    model: Sequence[str],
    exported: Sequence[str],
    *,
    languages: Sequence[str | None],
    quantization: str,
    cost: Cost,
    limit_points: float | None = None,
) -> Parity:
    """Compare the words of two hypotheses of the same utterances, normalised as in scoring.

    `limit_points` is the largest change of the WER; by default that of the quantisation.

    Raises InputError if they differ in number or are empty, or if the quantisation is unknown.
    """
    if quantization not in LIMITS_POINTS:
        known = list(LIMITS_POINTS)
        raise InputError(
            f"quantization {quantization!r}: is not one of {', '.join(known)}.{nearest(quantization, known)}"
        )
    of_model = score(references, model, languages=languages)
    of_export = score(references, exported, languages=languages)
    between = score(model, exported, languages=languages)
    low, high = paired_bootstrap(
        [each.words for each in of_model.utterances], [each.words for each in of_export.utterances]
    ).interval
    differing = [
        Difference(each.index, references[each.index], each.reference, each.hypothesis)
        for each in between.utterances
        if each.words.errors
    ]
    return Parity(
        quantization=quantization,
        num_utterances=len(references),
        model=of_model.words,
        exported=of_export.words,
        between=between.words,
        num_differing=len(differing),
        differing=tuple(differing[:NUM_SHOWN]),
        cost=cost,
        change_interval=(100 * low, 100 * high),
        model_interval=of_model.wer_interval,
        export_interval=of_export.wer_interval,
        limit_points=LIMITS_POINTS[quantization] if limit_points is None else limit_points,
    )


def logit_distance(expected_V: npt.NDArray[np.float32], found_V: npt.NDArray[np.float32]) -> float:
    """Return the distance of logits from expected ones, in standard deviations of these; a common offset is ignored."""
    difference_V = found_V[: len(expected_V)] - expected_V
    return float(difference_V.std() / expected_V.std())


def _exceeds(value: float, limit: float) -> bool:
    # 0.2 of 100 is 20.000000000000004 %
    return value > limit + 1e-9
