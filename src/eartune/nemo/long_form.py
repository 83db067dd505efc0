"""Recordings of any length as clips: cut where it is quietest."""

from __future__ import annotations

import numpy as np

from eartune.audio import SAMPLE_RATE_HZ
from eartune.speech_model import Waveform

# long recordings are cut into clips of at most this length
CLIP_S = 30.0
# a cut lies in the last third of the longest clip, in the quietest stretch of this length
QUIET_S = 0.2
EARLIEST_CUT = 2 / 3


def cut_at_silences(waveform: Waveform, *, most_s: float = CLIP_S) -> list[tuple[int, int]]:
    """Return where clips of at most `most_s` seconds begin and end, in samples; together they are the recording."""
    most, quiet = round(most_s * SAMPLE_RATE_HZ), round(QUIET_S * SAMPLE_RATE_HZ)
    cuts = [0]
    while len(waveform) - cuts[-1] > most:
        first = cuts[-1] + round(EARLIEST_CUT * most)
        energy = np.cumsum(np.square(waveform[first : cuts[-1] + most], dtype=np.float64))
        loudness = energy[quiet:] - energy[:-quiet]
        cuts.append(first + int(loudness.argmin()) + quiet // 2)
    return [*zip(cuts, [*cuts[1:], len(waveform)], strict=True)]
