"""Batches of decoding: which rows are decoded together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eartune.families.whisper.load import find, load
from eartune.manifest import Utterance, read_manifest
from eartune.model import DecodeOptions, SpeechModel, Waveform
from eartune.reporting import Silent
from eartune.training import decoding
from eartune.training.decoding import decode_utterances
from eartune.training.device import autocast, casting_weights_once


@pytest.fixture
def model(tiny_model: Path) -> SpeechModel:
    return load(find(str(tiny_model)), language="en")


def batches(
    model: SpeechModel, durations_s: Sequence[float], options: DecodeOptions, monkeypatch: pytest.MonkeyPatch
) -> list[list[float]]:
    """Return the lengths of the clips that are decoded together, of clips that are numbers of samples only."""
    found: list[list[float]] = []

    def transcribe_batch(waveforms: Sequence[Waveform], clips: Sequence[Utterance], _: DecodeOptions) -> list[str]:
        assert [clip.duration_s for clip in clips] == [float(waveform) for waveform in waveforms]
        found.append([float(waveform) for waveform in waveforms])
        return [f"{float(waveform):g}" for waveform in waveforms]

    monkeypatch.setattr(model, "transcribe_batch", transcribe_batch)
    monkeypatch.setattr(decoding, "load_waveform", lambda utterance: utterance.duration_s)
    utterances = [Utterance(audio=Path("x.wav"), text="x", duration_s=duration_s) for duration_s in durations_s]
    with Silent().task("", len(utterances)) as task:
        texts = decode_utterances(model, utterances, batch_size=4, options=options, precision="fp32", task=task)
    assert texts == [f"{duration_s:g}" for duration_s in durations_s], "in the order given"
    return found


def test_whole_windows_fill_batches_evenly(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest first, and no batch larger than its size."""
    found = batches(model, [1, 9, 3, 4, 5, 8, 7, 6, 2], DecodeOptions(), monkeypatch)
    assert found == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]


def test_short_windows_share_the_memory_of_whole_ones(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four windows of 30 s and 225 tokens are 138 s; clips of 2 s take 3.52 s and their tokens 4.5 s."""
    found = batches(model, [2.0] * 40, DecodeOptions(window="short"), monkeypatch)
    assert [len(batch) for batch in found] == [13, 14, 13]


def test_one_long_clip_does_not_widen_many_short_ones(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    options = DecodeOptions(max_length=10, window="short")
    assert batches(model, [2.0] * 15 + [28.0], options, monkeypatch) == [[28.0], [2.0] * 15]
    assert batches(model, [2.0] * 3 + [9.0], options, monkeypatch) == [[9.0, 2.0, 2.0, 2.0]]


def test_nothing_to_decode_is_no_batch(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert batches(model, [], DecodeOptions(), monkeypatch) == []


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


def test_nothing_is_learnt_while_weights_are_cast_once(model: SpeechModel) -> None:
    probe = model.probe_inputs()
    with casting_weights_once(model.network), autocast(torch.device("cpu"), "bf16"):
        assert not model.network(**probe).logits.requires_grad
    assert model.network(**probe).logits.requires_grad
