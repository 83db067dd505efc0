"""Whisper's timestamps: the rules for the next token, and the segments of a window.

As in openai-whisper (decoding.py, ApplyTimestampRules; transcribe.py). V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_TIMESTAMPS = 1501
STEP_S = 0.02


@dataclass(frozen=True)
class Timestamps:
    """The ids of a model's timestamp tokens: the first, and the highest index with which a window may begin."""

    first: int
    end_of_text: int
    max_initial_index: int

    def __contains__(self, token: int) -> bool:
        return self.first <= token < self.first + NUM_TIMESTAMPS

    def forbid(self, logits_V: npt.NDArray[np.float32], decoded: Sequence[int]) -> None:
        """Set the logits of tokens that may not follow the tokens `decoded` so far to -inf."""
        times = slice(self.first, self.first + NUM_TIMESTAMPS)
        if not decoded:
            logits_V[: self.first] = logits_V[times.stop :] = -np.inf
            logits_V[self.first + self.max_initial_index + 1 :] = -np.inf
            return
        after_time = decoded[-1] in self
        ended = after_time and len(decoded) > 1 and decoded[-2] not in self
        if ended:
            # either the start time of the next segment, or the end of the text
            logits_V[: self.end_of_text] = logits_V[times.stop :] = -np.inf
        elif after_time:
            logits_V[times] = -np.inf
        past = [token for token in decoded if token in self]
        if past:
            # times increase, and no segment is empty
            logits_V[self.first : past[-1] + (0 if ended else 1)] = -np.inf
        self._prefer_times(logits_V, times)

    def _prefer_times(self, logits_V: npt.NDArray[np.float32], times: slice) -> None:
        """Allow only timestamps if together they are likelier than any other token."""
        others_V = np.delete(logits_V, np.r_[times])
        if np.logaddexp.reduce(logits_V[times]) > others_V.max():
            logits_V[: times.start] = logits_V[times.stop :] = -np.inf

    def segments(self, decoded: Sequence[int], duration_s: float) -> tuple[list[tuple[float, float, list[int]]], float]:
        """Return start, end and tokens of each segment of a window, and the start of the next window within it."""
        ends = [at for at in range(1, len(decoded)) if decoded[at] in self and decoded[at - 1] in self]
        is_complete = len(decoded) > 1 and decoded[-1] in self and decoded[-2] not in self
        if not ends:
            times = [token for token in decoded if token in self and token != self.first]
            return [(0.0, self._seconds(times[-1]) if times else duration_s, list(decoded))], duration_s
        ends += [len(decoded)] if is_complete else []
        begins = [0, *ends[:-1]]
        found = [
            (self._seconds(decoded[begin]), self._seconds(decoded[end - 1]), list(decoded[begin:end]))
            for begin, end in zip(begins, ends, strict=True)
        ]
        return found, duration_s if is_complete else self._seconds(decoded[ends[-1] - 1])

    def _seconds(self, token: int) -> float:
        return (token - self.first) * STEP_S
