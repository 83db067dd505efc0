"""The plan of an epoch: windows and batches of each optimiser step. Pure: a function of its seed.

The speech of a step does not depend on the memory; only its number of batches and passes does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eartune.manifest import Utterance
from eartune.ops.widths import widened_s
from eartune.training.batching.windows import UnplacedUtterance, Window, WindowRules, alone, pack

# share of clips without speech that get a window of their own when packing
SILENT_ALONE = 0.5


@dataclass(frozen=True)
class Limits:
    """Limits of one forward and backward pass, in seconds of speech and of encoder input.

    `overhead_s` is the fixed cost of a batch, as the seconds of encoder input computed in the same time.
    """

    speech_s: float = math.inf
    input_s_total: float = math.inf
    overhead_s: float = 0.0


@dataclass(frozen=True)
class MicroBatch:
    """Windows of one width; `width_s` is the encoder input of each.

    `keys` are those of their cached encoder states, if any; `all_cached` if none is to be computed.
    """

    windows: tuple[Window, ...]
    width_s: float
    keys: tuple[str, ...] = ()
    all_cached: bool = False

    @property
    def input_s_total(self) -> float:
        return self.width_s * len(self.windows)


Step = list[MicroBatch]


def plan_epoch(
    clips: Sequence[UnplacedUtterance],
    rules: WindowRules,
    *,
    num_steps: int,
    by_count: bool,
    limits: Limits,
    seed: tuple[int, int],
) -> list[Step]:
    """Plan an epoch of exactly `num_steps` steps (at most one per clip), each clip once.

    Steps hold similar numbers of clips (`by_count`) or similar amounts of speech. `seed` is (seed of the run, epoch).
    """
    assert 0 < num_steps <= len(clips)
    random = np.random.default_rng(seed)
    shuffled = [clips[index] for index in random.permutation(len(clips))]
    steps = _shares(shuffled, num_steps, [1.0 if by_count else clip.duration_s for clip in shuffled])
    # full windows are chosen for whole steps: a few clips of each step would leave their window almost empty
    num_full = int(rules.options.short_full * num_steps + random.random())
    full = set(random.permutation(num_steps)[:num_full].tolist())
    return [micro_batches(_windows(step, rules, number in full, random), limits) for number, step in enumerate(steps)]


def _windows(
    clips: list[UnplacedUtterance], rules: WindowRules, full: bool, random: np.random.Generator
) -> list[Window]:
    kind = rules.options.window
    if kind == "padded":
        return [_single(clip, rules.window_s, rules, random) for clip in clips]
    if kind == "short" and not full:
        return [_single(clip, _input_s(clip, rules, random), rules, random) for clip in clips]
    num_alone = int(rules.options.packed_alone * len(clips) + random.random()) if kind == "packed" else 0
    # beside speech a clip without speech is a mere pause; alone it teaches that a whole window can be silent
    apart = [not clip.num_tokens and bool(random.random() < SILENT_ALONE) for clip in clips[num_alone:]]
    silent = list(itertools.compress(clips[num_alone:], apart))
    together = [clip for clip, is_apart in zip(clips[num_alone:], apart, strict=True) if not is_apart]
    single = [_single(clip, rules.window_s, rules, random) for clip in [*clips[:num_alone], *silent]]
    return single + pack(together, rules, random)


def _single(clip: UnplacedUtterance, input_s: float, rules: WindowRules, random: np.random.Generator) -> Window:
    """Give a clip a window of its own; timestamps are trained only where the times of its sentences are known."""
    return alone(clip, input_s=input_s, timestamps=clip.is_timed and bool(random.random() < rules.timestamps))


def _input_s(clip: UnplacedUtterance, rules: WindowRules, random: np.random.Generator) -> float:
    generator = np.random.default_rng(clip.index) if rules.cached else random
    seconds = clip.duration_s + rules.options.short_margin + generator.uniform(0, rules.options.short_jitter)
    return widened_s(seconds, step_s=rules.width_step_s, most_s=rules.window_s)


def _shares(clips: list[UnplacedUtterance], num_steps: int, weights: list[float]) -> list[list[UnplacedUtterance]]:
    """Divide the clips into steps of similar weight, each with at least one clip."""
    total, done, first = sum(weights), 0.0, 0
    steps = []
    for number in range(1, num_steps + 1):
        last = first + 1
        done += weights[first]
        target, most = total * number / num_steps, len(clips) - (num_steps - number)
        while last < most and (number == num_steps or done + weights[last] / 2 <= target):
            done += weights[last]
            last += 1
        steps.append(clips[first:last])
        first = last
    return steps


def micro_batches(windows: Sequence[Window], limits: Limits) -> Step:
    """Divide the windows of a step into batches of similar width, at the lowest cost in encoder input and overhead."""
    widths = sorted({window.input_s for window in windows}, reverse=True)
    groups = [[window for window in windows if window.input_s == width] for width in widths]
    # best[n]: the cost of the cheapest division of the n widest groups, and the first group of its last part
    best: list[tuple[float, int]] = [(0.0, 0)]
    for last in range(1, len(groups) + 1):
        num_windows, options = 0, []
        for first in range(last - 1, -1, -1):
            num_windows += len(groups[first])
            input_s_total = num_windows * widths[first]
            num_batches = math.ceil(input_s_total / limits.input_s_total) if math.isfinite(limits.input_s_total) else 1
            options.append((best[first][0] + input_s_total + num_batches * limits.overhead_s, first))
        best.append(min(options))
    divisions: Step = []
    last = len(groups)
    while last:
        first = best[last][1]
        together = [window for group in groups[first:last] for window in group]
        divisions = _limited(together, widths[first], limits) + divisions
        last = first
    return divisions


def _limited(windows: list[Window], width_s: float, limits: Limits) -> Step:
    """Divide windows of one width evenly into as few batches as the limits allow, at least one window in each."""
    for num_batches in range(_fewest(windows, width_s, limits), len(windows) + 1):
        edges = [round(number * len(windows) / num_batches) for number in range(num_batches + 1)]
        parts = [tuple(windows[first:last]) for first, last in itertools.pairwise(edges)]
        fits = all(
            len(part) * width_s <= limits.input_s_total and sum(window.speech_s for window in part) <= limits.speech_s
            for part in parts
        )
        if fits or num_batches == len(windows):
            break
    return [MicroBatch(part, max(window.input_s for window in part)) for part in parts]


def _fewest(windows: list[Window], width_s: float, limits: Limits) -> int:
    speech_s, input_s_total = sum(window.speech_s for window in windows), len(windows) * width_s
    return max(1, min(len(windows), math.ceil(max(speech_s / limits.speech_s, input_s_total / limits.input_s_total))))


def in_order(
    utterances: Sequence[Utterance], *, batch_size: int, width_s: Callable[[float], float]
) -> Iterator[MicroBatch]:
    """Plan batches of single utterances, in order; `width_s` maps the longest duration of a batch to its width."""
    for start in range(0, len(utterances), batch_size):
        rows = utterances[start : start + batch_size]
        width = width_s(max(utterance.duration_s for utterance in rows))
        clips = [
            UnplacedUtterance(index, utterance.duration_s, 0, None) for index, utterance in enumerate(rows, start=start)
        ]
        yield MicroBatch(tuple(alone(clip, input_s=width) for clip in clips), width)
