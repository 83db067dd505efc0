"""Loudness of samples, and certain faults: scale, values that are not numbers, channels that cancel."""

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
# 12 dB over full scale: decoders and mixes overshoot by a few, integers taken for floats by far more.
MOST_PEAK = 4.0
# Channels whose mean has less than this share of their power (13 dB) lie in opposite phase.
CANCELLED_SHARE = 0.05
# 50 ms: what is loud in one channel is then loud in the other, if they hold the same speech
ENVELOPE_S = 0.05
# Loudness in the one channel then says nothing about that in the other.
MOST_CORRELATION = 0.2
# the quieter channel is not a mere echo: at least -20 dB of the louder
BOTH_HEARD = 0.1

# of what is measured; a file with measurements of another version is measured anew
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
    """Of one utterance, where 1 is full scale: the largest sample, the root mean square, the share at full scale, the
    mean, the root mean square without that mean, which is not sound (None: as the other), and whether its two channels
    hold different voices, as those of telephones do."""

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
        """Read what a converted file carries; None where it carries nothing or what another version measured."""
        try:
            values = parse_json(comment, JsonObject, where="comment")
            if values.get("version") != _VERSION:
                return None
            return cls(**check_shape(values, _Measured, where="comment"))
        except InputError:
            return None


def measure(samples: Samples, *, different_voices: bool = False) -> Loudness:
    """Return how loud samples are, rounded to what a report needs."""
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
    """Adds up, block by block, what tells whether samples and channels can be what they claim to be."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._width = max(1, round(ENVELOPE_S * sample_rate_hz))
        self._finite = self._whole = True
        self._peak = self._num_frames = 0.0
        self._mean_power, self._powers = 0.0, np.zeros(0)
        self._envelopes: list[npt.NDArray[np.float64]] = []

    def add(self, samples_SC: Samples, mean_S: Samples) -> bool:
        """Take a block of what is heard and the mean of its channels; False: it holds no numbers."""
        if not len(samples_SC):
            return True
        peak = float(np.abs(samples_SC).max())
        if not np.isfinite(peak):
            self._finite = False
            return False
        self._peak = max(self._peak, peak)
        # the first samples of nearly every recording settle it
        self._whole = self._whole and _are_whole(samples_SC[:1000]) and _are_whole(samples_SC)
        if samples_SC.shape[1] < 2:
            return True
        # a constant offset of both channels is not sound that they share
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
        """What is certainly wrong, or ''."""
        if not self._finite:
            return "holds samples that are not numbers (NaN or infinity); convert it anew"
        if self._peak > MOST_PEAK or (self._whole and self._peak > 1):
            return (
                f"holds samples up to {self._peak:g}, where 1 is full scale: {_meant(self._peak)}; "
                "scale them to -1..1, or write it as integers"
            )
        total, count = float(self._powers.sum()), len(self._powers)
        # the mean of channels that have nothing in common keeps one part of `count`
        if count > 1 and total > 0 and self._mean_power < CANCELLED_SHARE * total / count * min(1.0, 2 / count):
            return (
                f"has {count} channels that cancel one another (opposite phase), so that their mean is nearly silent; "
                "name one of them in the column channel (0 is the first), or turn one over"
            )
        return ""

    @property
    def different_voices(self) -> bool:
        """Whether both of two channels carry sound, and not at the same times."""
        if len(self._powers) != 2 or not self._envelopes:
            return False
        quiet, loud = np.sqrt(sorted(self._powers))
        steps = np.concatenate(self._envelopes)
        if len(steps) < 1 / ENVELOPE_S or quiet < BOTH_HEARD * loud or (steps.std(axis=0) == 0).any():
            return False
        correlations: npt.NDArray[np.float64] = np.asarray(np.corrcoef(steps.T))
        return bool(correlations[0, 1] < MOST_CORRELATION)


def _are_whole(samples: Samples) -> bool:
    return bool((samples == np.rint(samples)).all())


def _meant(peak: float) -> str:
    for bits in (8, 16, 24, 32):
        # a quiet recording keeps below a hundredth
        if peak <= 1.001 * 2 ** (bits - 1) and (bits == 8 or peak > 2 ** (bits - 1) / 256):
            return f"they look like {bits}-bit integers" if bits > 8 else "they are far too loud"
    return "they are in no scale that is known"
