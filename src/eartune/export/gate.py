"""Acceptance of an export: its transcripts beside those of the model, for clips and long form."""

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

# clips whose numbers are compared too, where a runtime shows them
NUM_LOGITS = 3
# two windows and the edge between them, and not much more: a runtime may take as long as the speech
LONG_S = 75.0


@dataclass(frozen=True)
class Joined:
    """A long recording of clips, the middles of the pauses between them, and the language spoken."""

    waveform_S: Waveform
    joins_s: Sequence[float]
    language: str | None


@dataclass(frozen=True)
class Sample:
    """Speech to try an export on, each clip within one window, with what was said.

    `languages` are those the clips are decoded in, `text_languages` those their references are written in.
    """

    waveforms: tuple[Waveform, ...]
    references: tuple[str, ...]
    languages: tuple[str | None, ...]
    text_languages: tuple[str | None, ...]
    described: SampleRecord
    """Where it is from."""

    @cached_property
    def long(self) -> Joined:
        """The first clips of one language, joined, LONG_S of them where there are as many."""
        language = self.languages[0]
        chosen: list[Waveform] = []
        for waveform_S, spoken in zip(self.waveforms, self.languages, strict=True):
            if spoken == language and sum(map(len, chosen)) < LONG_S * SAMPLE_RATE_HZ:
                chosen.append(waveform_S)
        return Joined(*join_clips(chosen), language)


@dataclass(frozen=True)
class ReferenceOutputs:
    """What the model itself makes of a sample: words, the first logits [V] of some clips, the long recording."""

    hypotheses: tuple[str, ...]
    first_token_logits: tuple[npt.NDArray[np.float32], ...]
    long: LongClip | None


@dataclass(frozen=True)
class LongFormResult:
    """A long recording in a runtime, and how many windows it decoded again (None where it does not tell)."""

    check: LongClip
    num_fallbacks: int | None

    def to_json(self) -> dict[str, Any]:
        return self.check.to_json() | {"num_fallbacks": self.num_fallbacks}


@dataclass(frozen=True)
class Gate:
    """What was found of an export."""

    parity: Parity
    logit_distance: float | None
    """Of clips' first tokens, as in parity.py; None where the runtime does not show its numbers."""
    long: LongFormResult | None
    model_long: LongClip | None
    base_long: LongFormResult | None

    @property
    def failures(self) -> list[str]:
        """Say what keeps the export from being what the model is."""
        found = self.parity.failures
        most = LOGIT_LIMITS[self.parity.quantization]
        if self.logit_distance is not None and not self.logit_distance <= most:
            found = [*found, f"its logits lie {self.logit_distance:.2g} from the model's, the limit is {most:g}"]
        if self.long and not self.long.check.passes and self.model_long and self.model_long.passes:
            found = [*found, f"a long recording {self.long.check.verdict}, which the model itself passes"]
        return found

    @property
    def warnings(self) -> list[str]:
        """Say what is wrong with the model itself, export or not."""
        if self.model_long is None or self.model_long.passes:
            return []
        told = f"the model itself, on a long recording, {self.model_long.verdict}"
        if self.base_long and self.base_long.check.passes:
            told += "; its base passes: the tuning cost it the times (train on sentences with timestamps too)"
        return [told]

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

    Raises EartuneError where the runtime refuses the export.
    """
    with (
        decoding(exported, program="its program"),
        measured(open_runtime, exported, sample.waveforms, sample.languages) as (heard, runtime),
    ):
        distance = _distance(runtime, sample, reference_outputs)
        # what the model itself cannot do says nothing of the export, and may take its program without end
        long = (
            transcribe_long_form(runtime, sample)
            if reference_outputs.long is None or reference_outputs.long.passes
            else None
        )
    parity = compare(
        sample.references,
        reference_outputs.hypotheses,
        heard.hypotheses,
        languages=sample.text_languages,
        quantization=quantization,
        limit_points=limit_points,
        cost=heard.cost,
    )
    return Gate(parity, distance, long, model_long=reference_outputs.long, base_long=None)


def transcribe_long_form(runtime: Runtime, sample: Sample) -> LongFormResult | None:
    """Decode the long recording with its times; None where the runtime gives none."""
    if not isinstance(runtime, SupportsLongForm):
        return None
    transcript = runtime.segments(sample.long.waveform_S, sample.long.language)
    return LongFormResult(check_segments(transcript.segments, sample), transcript.num_fallbacks)


def check_segments(segments: Sequence[Segment], sample: Sample) -> LongClip:
    """Check the segments that something made of the long recording."""
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
