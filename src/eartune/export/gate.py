"""Acceptance of an export: its transcripts compared with those of the model, for clips and long form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eartune.audio import SAMPLE_RATE_HZ
from eartune.export.long_clip import LongClip, check_long, join_clips
from eartune.export.measure import measured
from eartune.export.parity import LOGIT_LIMITS, Parity, compare, logit_distance
from eartune.export.record import SampleRecord
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.runtime import ExposesLogits, Runtime, SupportsLongForm, decoding

# clips whose logits are compared too, if the runtime exposes them
NUM_LOGITS = 3
# two windows and the edge between them, but not much more: a runtime may take as long as the speech
LONG_S = 75.0


@dataclass(frozen=True)
class LongRecording:
    """A long recording of clips, the middles of the pauses between them, and the language spoken."""

    waveform_S: Waveform
    joins_s: Sequence[float]
    language: str | None


@dataclass(frozen=True)
class Sample:
    """Speech to try an export on, each clip within one window, with their references.

    `languages` are those the clips are decoded in, `text_languages` those their references are written in.
    """

    waveforms: tuple[Waveform, ...]
    references: tuple[str, ...]
    languages: tuple[str | None, ...]
    text_languages: tuple[str | None, ...]
    described: SampleRecord
    """Where it is from."""

    @cached_property
    def long(self) -> LongRecording:
        """The first clips of one language, joined, up to about LONG_S."""
        language = self.languages[0]
        chosen: list[Waveform] = []
        for waveform_S, clip_language in zip(self.waveforms, self.languages, strict=True):
            if clip_language == language and sum(map(len, chosen)) < LONG_S * SAMPLE_RATE_HZ:
                chosen.append(waveform_S)
        return LongRecording(*join_clips(chosen), language)


@dataclass(frozen=True)
class ReferenceOutputs:
    """The model's own outputs for a sample: hypotheses, first logits [V] of some clips, and the long recording."""

    hypotheses: tuple[str, ...]
    first_token_logits: tuple[npt.NDArray[np.float32], ...]
    long: LongClip | None


@dataclass(frozen=True)
class LongFormResult:
    """A long recording in a runtime, and the number of windows decoded again (None if not reported)."""

    check: LongClip
    num_fallbacks: int | None

    def to_json(self) -> dict[str, Any]:
        return self.check.to_json() | {"num_fallbacks": self.num_fallbacks}


@dataclass(frozen=True)
class Gate:
    """The findings about an export."""

    parity: Parity
    logit_distance: float | None
    """Of clips' first tokens, as in parity.py; None if the runtime does not expose its logits."""
    long: LongFormResult | None
    model_long: LongClip | None
    base_long: LongFormResult | None

    @property
    def failures(self) -> list[str]:
        """The reasons to reject the export."""
        found = self.parity.failures
        limit = LOGIT_LIMITS[self.parity.quantization]
        if self.logit_distance is not None and not self.logit_distance <= limit:
            found = [*found, f"its logits differ from the model's by {self.logit_distance:.2g}, the limit is {limit:g}"]
        if self.long and not self.long.check.passes and self.model_long and self.model_long.passes:
            found = [*found, f"a long recording {self.long.check.verdict}, which the model itself passes"]
        return found

    @property
    def warnings(self) -> list[str]:
        """The faults of the model itself, with or without export."""
        if self.model_long is None or self.model_long.passes:
            return []
        warning = f"the model itself, on a long recording, {self.model_long.verdict}"
        if self.base_long and self.base_long.check.passes:
            warning += "; its base model passes, so tuning degraded the times (train on sentences with timestamps too)"
        return [warning]

    def to_json(self) -> dict[str, Any]:
        distance = self.logit_distance
        return {
            "passes": not self.failures,
            "failures": self.failures,
            "warnings": self.warnings,
            "words": self.parity.to_json(),
            # one that is not finite is among the failures; JSON has no word for it
            "logit_distance": distance if distance is not None and math.isfinite(distance) else None,
            "logit_distance_limit": LOGIT_LIMITS[self.parity.quantization],
            "long_recording": {
                "artefact": self.long.to_json() if self.long else None,
                "model": self.model_long.to_json() if self.model_long else None,
                "base_model": self.base_long.to_json() if self.base_long else None,
            },
        }


def check(
    exported: Path,
    open_runtime: Callable[[Path], Runtime],
    *,
    sample: Sample,
    reference_outputs: ReferenceOutputs,
    quantization: str,
    limit_points: float | None = None,
) -> Gate:
    """Decode the sample with the export and compare, the long recording too if the model itself passes on it.

    Raises EartuneError if the runtime refuses the export.
    """
    with (
        decoding(exported, program="its runtime"),
        measured(open_runtime, exported, sample.waveforms, sample.languages) as (transcripts, runtime),
    ):
        distance = _distance(runtime, sample, reference_outputs)
        # if the model itself fails, the result says nothing about the export, and its runtime may not terminate
        long = (
            transcribe_long_form(runtime, sample)
            if reference_outputs.long is None or reference_outputs.long.passes
            else None
        )
    parity = compare(
        sample.references,
        reference_outputs.hypotheses,
        transcripts.hypotheses,
        languages=sample.text_languages,
        quantization=quantization,
        limit_points=limit_points,
        cost=transcripts.cost,
    )
    return Gate(parity, distance, long, model_long=reference_outputs.long, base_long=None)


def transcribe_long_form(runtime: Runtime, sample: Sample) -> LongFormResult | None:
    """Decode the long recording with its times; None if the runtime does not support it."""
    if not isinstance(runtime, SupportsLongForm):
        return None
    transcript = runtime.segments(sample.long.waveform_S, sample.long.language)
    return LongFormResult(check_segments(transcript.segments, sample), transcript.num_fallbacks)


def check_segments(segments: Sequence[Segment], sample: Sample) -> LongClip:
    """Check the segments of the long recording from a model or a runtime."""
    duration_s = len(sample.long.waveform_S) / SAMPLE_RATE_HZ
    return check_long(segments, joins_s=sample.long.joins_s, duration_s=duration_s)


def _distance(runtime: Runtime, sample: Sample, reference_outputs: ReferenceOutputs) -> float | None:
    if not isinstance(runtime, ExposesLogits) or not reference_outputs.first_token_logits:
        return None
    clips = zip(reference_outputs.first_token_logits, sample.waveforms, sample.languages, strict=False)
    return max(
        logit_distance(expected_V, runtime.first_token_logits(waveform_S, language))
        for expected_V, waveform_S, language in clips
    )
