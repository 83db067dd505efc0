"""The model's hypotheses beside those of an exported artefact: do both say the same?

Error rates are fractions; limits and what is shown are points (1 point is 1 % of the reference's words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eartune.errors import InputError, nearest
from eartune.scoring import ErrorCounts, score

NUM_SHOWN = 20
FLOAT_LIMIT, EIGHT_BIT_LIMIT, FOUR_BIT_LIMIT = 0.2, 1.0, 2.0
LIMITS_POINTS = (
    dict.fromkeys(("float32", "float16", "bfloat16", "f32", "f16", "bf16"), FLOAT_LIMIT)
    | dict.fromkeys(("int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"), EIGHT_BIT_LIMIT)
    | dict.fromkeys(("q8_0", "q6_k", "q5_0", "q5_1", "q5_k"), EIGHT_BIT_LIMIT)
    | dict.fromkeys(("q4_0", "q4_1", "q4_k"), FOUR_BIT_LIMIT)
)
"""How far the WER may move, in points, by kind of quantisation."""

# Rounding changes words that were wrong before into other wrong ones, so more words differ than the WER moves. Beyond
# this many times the limit it is another model, though it be as often right.
BETWEEN_FACTOR = 5


@dataclass(frozen=True)
class Cost:
    """What an artefact took: seconds to load and to decode, of how much speech; bytes of memory and on disk.

    `peak_memory_bytes` is what loading and decoding added to the process, or None where it was not measured.
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
    """An utterance whose words differ between model and artefact, by its number."""

    index: int
    reference: str
    model: str
    artefact: str


@dataclass(frozen=True)
class Parity:
    """Word errors of the model and of the artefact against the references, and of the artefact against the model."""

    quantization: str
    num_utterances: int
    model: ErrorCounts
    artefact: ErrorCounts
    between: ErrorCounts
    num_differing: int
    differing: tuple[Difference, ...]
    """The first NUM_SHOWN."""
    cost: Cost

    @property
    def limit_points(self) -> float:
        return LIMITS_POINTS[self.quantization]

    @property
    def change_points(self) -> float:
        """WER of the artefact minus that of the model."""
        return 100 * (self.artefact.rate - self.model.rate)

    @property
    def failures(self) -> list[str]:
        """Say what is beyond the limits. A single word is never: there is no smaller change."""
        found = []
        words = abs(self.artefact.errors - self.model.errors)
        if words > 1 and _exceeds(abs(self.change_points), self.limit_points):
            found.append(f"its WER moved by {self.change_points:+.2f} points, the limit is {self.limit_points:g}")
        most = BETWEEN_FACTOR * self.limit_points
        if self.between.errors > 1 and _exceeds(100 * self.between.rate, most):
            found.append(f"{100 * self.between.rate:.2f} % of the words are not the model's, the limit is {most:g} %")
        return found

    @property
    def passes(self) -> bool:
        return not self.failures

    @property
    def verdict(self) -> str:
        """One line: whether it passes, and what differs."""
        told = (
            f"WER {100 * self.model.rate:.2f} % of the model, {100 * self.artefact.rate:.2f} % of the artefact"
            f" ({self.quantization}), {self.num_differing} of {self.num_utterances} sentences differ"
        )
        if self.failures:
            return f"fails: {'; '.join(self.failures)} ({told})"
        return f"passes: {told}"

    def to_json(self) -> dict[str, Any]:
        return {
            "passes": self.passes,
            "verdict": self.verdict,
            "quantization": self.quantization,
            "limit_points": self.limit_points,
            "change_points": self.change_points,
            "model_wer": self.model.rate,
            "artefact_wer": self.artefact.rate,
            "between_wer": self.between.rate,
            "model_words": self.model.to_json(),
            "artefact_words": self.artefact.to_json(),
            "between_words": self.between.to_json(),
            "num_utterances": self.num_utterances,
            "num_differing": self.num_differing,
            "differing": [asdict(each) for each in self.differing],
            "cost": self.cost.to_json(),
        }


def compare(
    references: Sequence[str],
    model: Sequence[str],
    artefact: Sequence[str],
    *,
    languages: Sequence[str | None],
    quantization: str,
    cost: Cost,
) -> Parity:
    """Compare the words of two hypotheses of the same utterances, normalised as in scoring.

    Raises InputError where they differ in number, are none, or nothing is known of the quantisation.
    """
    if quantization not in LIMITS_POINTS:
        known = list(LIMITS_POINTS)
        raise InputError(f"quantization {quantization!r}: is none of {', '.join(known)}.{nearest(quantization, known)}")
    of_model = score(references, model, languages=languages)
    of_artefact = score(references, artefact, languages=languages)
    between = score(model, artefact, languages=languages)
    differing = [
        Difference(each.index, references[each.index], each.reference, each.hypothesis)
        for each in between.utterances
        if each.words.errors
    ]
    return Parity(
        quantization=quantization,
        num_utterances=len(references),
        model=of_model.words,
        artefact=of_artefact.words,
        between=between.words,
        num_differing=len(differing),
        differing=tuple(differing[:NUM_SHOWN]),
        cost=cost,
    )


def _exceeds(value: float, limit: float) -> bool:
    # 0.2 of 100 is 20.000000000000004 %
    return value > limit + 1e-9
