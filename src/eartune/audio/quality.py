"""Loudness of samples, and their definite faults: wrong scale, non-finite values, channels that cancel."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from eartune.errors import InputError
from eartune.parsing import JsonObject, check_shape, parse_json

Samples = npt.NDArray[np.float32]

FULL_SCALE = 0.999
# 12 dB over full scale: decoders and mixes overshoot by a few, integers read as floats by far more.
MAX_PEAK = 4.0
# Channels whose mean has less than this share of their power (13 dB) are in opposite phase.
CANCELLED_SHARE = 0.05
# 50 ms: long enough that channels with the same speech are loud at the same time
ENVELOPE_S = 0.05
# Below this the loudness of one channel does not predict that of the other.
MAX_CORRELATION = 0.2
# the quieter channel is not a mere echo: at least -20 dB of the louder
MIN_LEVEL_RATIO = 0.1

# of the measurements; a file with those of another version is measured again
_VERSION = 2


class _Measured(TypedDict):
    peak: float
    rms: float
    clipped: float
    mean: float
    centred_rms: float | None
    different_voices: bool


@dataclass(frozen=True)
class Loudness:
    """Loudness of one utterance, where 1 is full scale: the largest sample, the root mean square, the share of samples
    at full scale, the mean, the root mean square without that mean, which is not sound (None: the same as `rms`), and
    whether its two channels have different voices, as in telephone calls."""

    peak: float
    rms: float
    clipped: float
    mean: float = 0.0
    centred_rms: float | None = None
    different_voices: bool = False

    @property
    def sound_rms(self) -> float:
        return self.rms if self.centred_rms is None else self.centred_rms

    def to_comment(self) -> str:
        return json.dumps({"version": _VERSION, **asdict(self)})

    @classmethod
    def from_comment(cls, comment: str) -> Loudness | None:
        """Read the comment of a converted file; None if it has no measurements, or those of another version."""
        try:
            values = parse_json(comment, JsonObject, where="comment")
            if values.get("version") != _VERSION:
                return None
            return cls(**check_shape(values, _Measured, where="comment"))
        except InputError:
            return None


def measure(samples: Samples, *, different_voices: bool = False) -> Loudness:
    """Measure the loudness of samples, rounded to the precision that a report needs."""
    loud = np.abs(samples)
    return Loudness(
        peak=round(float(loud.max()), 7),
        rms=round(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))), 7),
        clipped=round(float(np.mean(loud >= FULL_SCALE)), 6),
        mean=round(float(np.mean(samples, dtype=np.float64)), 6),
        centred_rms=round(float(np.std(samples, dtype=np.float64)), 7),
        different_voices=different_voices,
    )


class ChannelMeter:
    """Accumulates, block by block, the statistics that show faults of samples and channels."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._width = max(1, round(ENVELOPE_S * sample_rate_hz))
        self._finite = self._whole = True
        self._peak = self._num_frames = 0.0
        self._mean_power, self._powers = 0.0, np.zeros(0)
        self._envelopes: list[npt.NDArray[np.float64]] = []

    def add(self, samples_SC: Samples, mean_S: Samples) -> bool:
        """Add a block and the mean of its channels; return False if it has non-finite samples."""
        if not len(samples_SC):
            return True
        peak = float(np.abs(samples_SC).max())
        if not np.isfinite(peak):
            self._finite = False
            return False
        self._peak = max(self._peak, peak)
        # in nearly every recording the first samples decide it
        self._whole = self._whole and _are_whole(samples_SC[:1000]) and _are_whole(samples_SC)
        if samples_SC.shape[1] < 2:
            return True
        # a constant offset of both channels is not common sound
        centred_SC: npt.NDArray[np.float64] = samples_SC - samples_SC.mean(axis=0, dtype=np.float64)
        squares_SC = np.square(centred_SC)
        self._mean_power += float(np.var(mean_S, dtype=np.float64)) * len(mean_S)
        powers_C: npt.NDArray[np.float64] = squares_SC.sum(axis=0)
        self._powers = self._powers + powers_C if len(self._powers) else powers_C
        num_steps = len(squares_SC) // self._width
        if samples_SC.shape[1] == 2 and num_steps:
            steps: npt.NDArray[np.float64] = squares_SC[: num_steps * self._width].reshape(num_steps, self._width, 2)
            levels: npt.NDArray[np.float64] = np.sqrt(steps.mean(axis=1))
            self._envelopes.append(levels)
        return True

    @property
    def fault(self) -> str:
        """A definite fault of the samples, or ''."""
        if not self._finite:
            return "holds samples that are not numbers (NaN or infinity); convert it again"
        if self._peak > MAX_PEAK or (self._whole and self._peak > 1):
            return (
                f"holds samples up to {self._peak:g}, where 1 is full scale: {_scale_guess(self._peak)}; "
                "scale them to -1..1, or write it as integers"
            )
        total, count = float(self._powers.sum()), len(self._powers)
        # the mean of uncorrelated channels keeps 1 / `count` of their power
        if count > 1 and total > 0 and self._mean_power < CANCELLED_SHARE * total / count * min(1.0, 2 / count):
            return (
                f"has {count} channels that cancel one another (opposite phase), so that their mean is nearly silent; "
                "name one of them in the column channel (0 is the first), or invert one"
            )
        return ""

    @property
    def different_voices(self) -> bool:
        """Whether both of two channels have sound, but not at the same times."""
        if len(self._powers) != 2 or not self._envelopes:
            return False
        quiet, loud = np.sqrt(sorted(self._powers))
        steps = np.concatenate(self._envelopes)
        if len(steps) < 1 / ENVELOPE_S or quiet < MIN_LEVEL_RATIO * loud or (steps.std(axis=0) == 0).any():
            return False
        correlations: npt.NDArray[np.float64] = np.asarray(np.corrcoef(steps.T))
        return bool(correlations[0, 1] < MAX_CORRELATION)


def _are_whole(samples: Samples) -> bool:
    return bool((samples == np.rint(samples)).all())


def _scale_guess(peak: float) -> str:
    for bits in (8, 16, 24, 32):
        # a quiet recording may stay below a hundredth of full scale
        if peak <= 1.001 * 2 ** (bits - 1) and (bits == 8 or peak > 2 ** (bits - 1) / 256):
            return f"they look like {bits}-bit integers" if bits > 8 else "they are far too loud"
    return "their scale is unknown"
