"""Encoder input windows, each of one clip or of several packed one after another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from eartune.config.window import WindowSection
from eartune.model import PlacedUtterance

# windows filled at the same time; more of them leave less space at the end of each
OPEN_WINDOWS = 64

# decoding with timestamps expects speech to begin within the first second (Whisper's max_initial_timestamp)
MAX_FIRST_TIME_S = 1.0


@dataclass(frozen=True, slots=True)
class UnplacedUtterance:
    """An utterance to be placed in a window; `num_tokens` is the most it takes of its tokens, 0 without speech.

    `is_timed` is true if the times of its sentences are known.
    """

    index: int
    duration_s: float
    num_tokens: int
    language: str | None
    is_timed: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """`speech_s` is the duration of its clips together, `input_s` the least encoder input."""

    clips: tuple[PlacedUtterance, ...]
    speech_s: float
    input_s: float
    timestamps: bool = False


@dataclass(frozen=True)
class WindowRules:
    """Rules for windows: the options of a run, and the requirements of its model and its encoder cache."""

    options: WindowSection
    window_s: float
    max_tokens: int
    """Limit for all clips of a window together."""
    timestamp_step_s: float
    writes_timestamps: bool = True
    """Whether the model is trained with timestamps at all."""
    cached: bool = False
    """Whether the encoder's outputs are cached, so that a clip has the same silence after it in every epoch."""

    @property
    def timestamps(self) -> float:
        """Share of windows that are trained with timestamps."""
        return self.options.packed_timestamps if self.writes_timestamps else 0.0

    @property
    def width_step_s(self) -> float:
        """Step of the widths of short windows, so that few shapes occur, and clips share cached outputs."""
        return 2.56 if self.cached else 0.32


def alone(clip: UnplacedUtterance, *, input_s: float, timestamps: bool = False) -> Window:
    return Window((PlacedUtterance(clip.index, 0.0, clip.duration_s),), clip.duration_s, input_s, timestamps)


def pack(clips: Iterable[UnplacedUtterance], rules: WindowRules, random: np.random.Generator) -> list[Window]:
    """Pack clips one after another into as few windows as best fit finds, in the order given.

    Clips begin on the grid of timestamps, with a random gap before each; none is split, and languages are not mixed.
    """
    windows: list[Window] = []
    filling: dict[str | None, list[_Filling]] = {}
    for clip in clips:
        candidates = filling.setdefault(clip.language, [])
        gap_s = _on_grid(random.uniform(0, rules.options.packed_gap), rules.timestamp_step_s)
        fitting = [window for window in candidates if window.fits(clip, gap_s, rules)]
        if fitting:
            chosen = max(fitting, key=lambda window: window.end_s)
        else:
            if len(candidates) == OPEN_WINDOWS:
                fullest = max(candidates, key=lambda window: window.end_s)
                candidates.remove(fullest)
                windows.append(fullest.closed(rules, random))
            chosen = _Filling()
            candidates.append(chosen)
            free_s = max(0.0, rules.window_s - clip.duration_s)
            gap_s = min(gap_s, MAX_FIRST_TIME_S, _floor(free_s, rules.timestamp_step_s))
        chosen.add(clip, gap_s, rules)
    return windows + [window.closed(rules, random) for candidates in filling.values() for window in candidates]


@dataclass
class _Filling:
    """A window that is being filled."""

    clips: list[PlacedUtterance] = field(default_factory=list)
    end_s: float = 0.0
    speech_s: float = 0.0
    num_tokens: int = 0

    def fits(self, clip: UnplacedUtterance, gap_s: float, rules: WindowRules) -> bool:
        return (
            self.end_s + gap_s + clip.duration_s <= rules.window_s
            and self.num_tokens + clip.num_tokens <= rules.max_tokens
        )

    def add(self, clip: UnplacedUtterance, gap_s: float, rules: WindowRules) -> None:
        start_s = self.end_s + gap_s
        begins_s = round(start_s, 6)
        self.clips.append(PlacedUtterance(clip.index, begins_s, begins_s + clip.duration_s))
        self.speech_s += clip.duration_s
        self.num_tokens += clip.num_tokens
        self.end_s = math.ceil((start_s + clip.duration_s) / rules.timestamp_step_s - 1e-6) * rules.timestamp_step_s

    def closed(self, rules: WindowRules, random: np.random.Generator) -> Window:
        timestamps = bool(random.random() < rules.timestamps)
        return Window(tuple(self.clips), self.speech_s, rules.window_s, timestamps)


def _on_grid(seconds: float, step_s: float) -> float:
    return round(seconds / step_s) * step_s


def _floor(seconds: float, step_s: float) -> float:
    return math.floor(seconds / step_s + 1e-6) * step_s
