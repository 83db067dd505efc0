"""Whisper's timestamps: which may follow what, and the segments of a window.

As openai-whisper does it (decoding.py, ApplyTimestampRules; transcribe.py). V vocabulary.
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
    """A model's tokens of time by number: the first, and how many steps after it a window may begin at most."""

    first: int
    end_of_text: int
    most_steps_at_first: int

    def __contains__(self, token: int) -> bool:
        return self.first <= token < self.first + NUM_TIMESTAMPS

    def forbid(self, logits_V: npt.NDArray[np.float32], written: Sequence[int]) -> None:
        """Set the logits of tokens that may not follow what is `written` to -inf."""
        times = slice(self.first, self.first + NUM_TIMESTAMPS)
        if not written:
            logits_V[: self.first] = logits_V[times.stop :] = -np.inf
            logits_V[self.first + self.most_steps_at_first + 1 :] = -np.inf
            return
        after_time = written[-1] in self
        ended = after_time and len(written) > 1 and written[-2] not in self
        if ended:
            # the time at which the next segment begins, or the end of the text
            logits_V[: self.end_of_text] = logits_V[times.stop :] = -np.inf
        elif after_time:
            logits_V[times] = -np.inf
        past = [token for token in written if token in self]
        if past:
            # time goes on, and no segment is empty
            logits_V[self.first : past[-1] + (0 if ended else 1)] = -np.inf
        self._prefer_times(logits_V, times)

    def _prefer_times(self, logits_V: npt.NDArray[np.float32], times: slice) -> None:
        """Leave only times where they are together likelier than any other token."""
        others_V = np.delete(logits_V, np.r_[times])
        if np.logaddexp.reduce(logits_V[times]) > others_V.max():
            logits_V[: times.start] = logits_V[times.stop :] = -np.inf

    def segments(self, written: Sequence[int], duration_s: float) -> tuple[list[tuple[float, float, list[int]]], float]:
        """Return start, end and tokens of each segment of a window, and where in it the next window begins."""
        ends = [at for at in range(1, len(written)) if written[at] in self and written[at - 1] in self]
        whole = len(written) > 1 and written[-1] in self and written[-2] not in self
        if not ends:
            times = [token for token in written if token in self and token != self.first]
            return [(0.0, self._seconds(times[-1]) if times else duration_s, list(written))], duration_s
        ends += [len(written)] if whole else []
        begins = [0, *ends[:-1]]
        found = [
            (self._seconds(written[begin]), self._seconds(written[end - 1]), list(written[begin:end]))
            for begin, end in zip(begins, ends, strict=True)
        ]
        return found, duration_s if whole else self._seconds(written[ends[-1] - 1])

    def _seconds(self, token: int) -> float:
        return (token - self.first) * STEP_S
