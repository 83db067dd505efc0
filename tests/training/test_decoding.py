"""Batches of decoding: which rows are decoded together."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from eartune.families.whisper.load import find, load
from eartune.manifest import Utterance, read_manifest
from eartune.model import DecodeOptions, SpeechModel, Waveform
from eartune.reporting import Silent
from eartune.training.decoding import decode_utterances, group_by_length
from eartune.training.device import autocast, casting_weights_once


@pytest.fixture
def model(tiny_model: Path) -> SpeechModel:
    return load(find(str(tiny_model)), language="en")


@pytest.fixture(scope="module")
def whisper(tiny_model: Path) -> SpeechModel:
    """A model that no test changes."""
    return load(find(str(tiny_model)), language="en")


def batches(
    model: SpeechModel, durations_s: Sequence[float], options: DecodeOptions, *, batch_size: int = 4
) -> list[list[float]]:
    """Return the lengths of the clips that are decoded together."""
    clips = [Utterance(audio=Path("x.wav"), text="x", duration_s=duration_s) for duration_s in durations_s]
    found = group_by_length(model, clips, batch_size=batch_size, options=options)
    assert sorted(row for batch in found for row in batch) == list(range(len(clips))), "each clip once"
    return [[durations_s[row] for row in batch] for batch in found]


def memory_s(model: SpeechModel, batch: Sequence[float], options: DecodeOptions) -> float:
    """Return what a batch takes, in seconds of the encoder's positions: of them, and of as many tokens as there may be.

    Each clip is seen as wide as the longest.
    """
    tokens_s = options.max_length * model.window.position_s
    return len(batch) * (model.window.width_s(max(batch), options.window) + tokens_s)


def test_texts_are_in_the_order_given(whisper: SpeechModel, tiny_speech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utterances = read_manifest([tiny_speech]).utterances
    shuffled = [utterances[row] for row in (3, 0, 5, 1, 4, 2)]

    def transcribe_batch(waveforms: Sequence[Waveform], clips: Sequence[Utterance], _: DecodeOptions) -> list[str]:
        return [f"{len(waveform)} {clip.text}" for waveform, clip in zip(waveforms, clips, strict=True)]

    monkeypatch.setattr(whisper, "transcribe_batch", transcribe_batch)
    with Silent().task("", len(shuffled)) as task:
        texts = decode_utterances(whisper, shuffled, batch_size=2, options=DecodeOptions(), precision="fp32", task=task)
    assert texts == [f"{round(16_000 * each.duration_s)} {each.text}" for each in shuffled]


def test_whole_windows_fill_batches_evenly(whisper: SpeechModel) -> None:
    """The longest first, and no batch larger than its size."""
    found = batches(whisper, [1, 9, 3, 4, 5, 8, 7, 6, 2], DecodeOptions())
    assert found == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]


def test_short_windows_share_the_memory_of_whole_ones(whisper: SpeechModel) -> None:
    """As few batches as the memory of four whole windows allows, and all of about one size."""
    options = DecodeOptions(window="short")
    found = batches(whisper, [2.0] * 40, options)
    together = memory_s(whisper, [2.0] * 40, options)
    assert len(found) == math.ceil(together / memory_s(whisper, [30.0] * 4, options))
    assert len(found) < 40 / 4
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(
    durations_s=st.lists(st.floats(0.1, 30.0), max_size=40),
    batch_size=st.integers(1, 6),
    options=st.builds(
        DecodeOptions, max_length=st.sampled_from([10, 225]), window=st.sampled_from(["padded", "short"])
    ),
)
def test_no_batch_takes_more_memory_than_so_many_whole_windows_and_the_longest_come_first(
    whisper: SpeechModel, durations_s: list[float], batch_size: int, options: DecodeOptions
) -> None:
    found = batches(whisper, durations_s, options, batch_size=batch_size)
    most_s = memory_s(whisper, [30.0] * batch_size, options)
    assert all(memory_s(whisper, batch, options) <= most_s + 1e-6 for batch in found)
    lengths = [duration_s for batch in found for duration_s in batch]
    assert lengths == sorted(durations_s, reverse=True)


def test_one_long_clip_does_not_widen_many_short_ones(whisper: SpeechModel) -> None:
    options = DecodeOptions(max_length=10, window="short")
    assert batches(whisper, [2.0] * 15 + [28.0], options) == [[28.0], [2.0] * 15]
    assert batches(whisper, [2.0] * 3 + [9.0], options) == [[9.0, 2.0, 2.0, 2.0]]


def test_nothing_to_decode_is_no_batch(whisper: SpeechModel) -> None:
    assert batches(whisper, [], DecodeOptions()) == []
    with Silent().task("", 0) as task:
        texts = decode_utterances(whisper, [], batch_size=4, options=DecodeOptions(), precision="fp32", task=task)
    assert texts == []


class Casts(TorchDispatchMode):
    """Counts how often tensors as large as the embedding change their type."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), options: Any = None) -> Any:
        if operation is torch.ops.aten._to_copy.default and given[0].numel() == self.size:
            self.count += 1
        return operation(*given, **(options or {}))


@pytest.mark.parametrize("frozen", [True, False])
def test_autocast_casts_each_weight_once(model: SpeechModel, tiny_speech: Path, frozen: bool) -> None:
    """It would cast a frozen model's weights anew for each token."""
    model.network.requires_grad_(not frozen)
    wanted = {name: weight.requires_grad for name, weight in model.network.named_parameters()}
    utterances = read_manifest([tiny_speech]).utterances
    options = DecodeOptions(max_length=10)
    with Silent().task("", len(utterances)) as task, Casts(model.network.proj_out.weight.numel()) as casts:
        decode_utterances(model, utterances, batch_size=3, options=options, precision="bf16", task=task)
    assert casts.count == 1
    assert {name: weight.requires_grad for name, weight in model.network.named_parameters()} == wanted


def test_nothing_is_learnt_while_weights_are_cast_once(whisper: SpeechModel) -> None:
    probe = whisper.probe_inputs()
    with casting_weights_once(whisper.network), autocast(torch.device("cpu"), "bf16"):
        assert not whisper.network(**probe).logits.requires_grad
    assert whisper.network(**probe).logits.requires_grad
