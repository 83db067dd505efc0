"""How many steps an epoch has, and what fits into them, as configured."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.families.whisper.load import find, load
from eartune.model import SpeechModel
from eartune.training.batching.epochs import Epochs, plan_epochs
from eartune.training.batching.windows import UnplacedUtterance


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SpeechModel:
    return load(find(str(tiny_model)))


def planned(model: SpeechModel, count: int, **options: Any) -> Epochs:
    given = {"base_model": "m", "train": "t.jsonl", **options}
    config = resolve_config(overrides=[override(name, value) for name, value in given.items()])
    clips = [UnplacedUtterance(index, 3.0, 10, "en") for index in range(count)]
    return plan_epochs(config, clips, model, torch.device("cpu"))


@pytest.mark.parametrize(
    ("count", "options", "steps"),
    [
        (10, {"bs": 2}, 5),
        (11, {"bs": 2}, 6),
        (11, {"bs": 2, "accum": 4}, 2),
        (1, {"bs": 8, "accum": 4}, 1),
        (100, {"batch_seconds": 30}, 10),
        (100, {"batch_seconds": 30, "accum": 2}, 5),
        (3, {"batch_seconds": 1}, 3),
        (2, {"batch_seconds": 1000}, 1),
        (100, {"batch_seconds": "auto", "bs": 10}, 10),
    ],
)
def test_steps_of_an_epoch(model: SpeechModel, count: int, options: dict[str, Any], steps: int) -> None:
    epochs = planned(model, count, **options)
    assert epochs.num_steps == steps == len(epochs.plan(0))


@pytest.mark.parametrize("window", ["padded", "packed", "short"])
def test_accumulation_leaves_the_speech_of_a_step(model: SpeechModel, window: str) -> None:
    """The same audio per step in one pass of 16 utterances or in four of 4, in the same steps."""
    whole, parts = (planned(model, 64, window=window, bs=bs, accum=16 // bs).plan(0) for bs in (16, 4))
    assert [sum(len(b.windows) for b in step) for step in whole] == [sum(len(b.windows) for b in s) for s in parts]
    assert all(batch.input_s_total <= 4 * 30 for step in parts for batch in step)


def test_batches_by_seconds_hold_no_more_speech(model: SpeechModel) -> None:
    epochs = planned(model, 90, batch_seconds=30, accum=3, window="short")
    batches = [sum(w.speech_s for w in batch.windows) for step in epochs.plan(0) for batch in step]
    assert max(batches) <= 31.5


def test_smaller_batches_hold_the_same_steps(model: SpeechModel) -> None:
    epochs = planned(model, 90, batch_seconds="auto", bs=30, window="short", short_full=0)
    assert math.isinf(epochs.limits.input_s_total)
    smaller = epochs.with_most_input(20.0)
    assert smaller.with_most_input(50.0) == smaller
    assert all(batch.input_s_total <= 20.0 for step in smaller.plan(0) for batch in step)
    for one, other in zip(epochs.plan(1), smaller.plan(1), strict=True):
        clips = [{c.index for batch in step for w in batch.windows for c in w.clips} for step in (one, other)]
        assert clips[0] == clips[1]
