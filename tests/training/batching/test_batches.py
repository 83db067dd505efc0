"""Batches by hand, and sent to workers."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from eartune.families.whisper.load import find, load
from eartune.manifest import Utterance, read_manifest
from eartune.model import IGNORED, PlacedUtterance, SpeechModel
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.loader import StepLoader
from eartune.training.batching.plan import Limits, MicroBatch, Step, in_order
from eartune.training.batching.windows import Window
from eartune.training.loss import target_inputs
from eartune.training.memory import divide_into_passes

# of the two clips
DURATIONS_S = (1.0, 2.0)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SpeechModel:
    return load(find(str(tiny_model)))


@pytest.fixture
def dataset(model: SpeechModel, tmp_path: Path) -> SpeechDataset:
    """Two clips of constant samples: 0.5 for 1 s, 0.25 for 2 s."""
    utterances = []
    for name, level, seconds, text in zip("ab", (0.5, 0.25), DURATIONS_S, ("one", "two words"), strict=True):
        soundfile.write(tmp_path / f"{name}.wav", np.full(round(16_000 * seconds), level), 16_000, subtype="FLOAT")
        utterances.append(Utterance(tmp_path / f"{name}.wav", text, seconds, language="en"))
    return SpeechDataset(utterances, model)


def row(*placed: tuple[int, float], timestamps: bool = False) -> Window:
    found = (PlacedUtterance(index, start_s, start_s + DURATIONS_S[index]) for index, start_s in placed)
    return Window(tuple(found), 1.0, 4.0, timestamps)


def tokens(model: SpeechModel, ids: torch.Tensor) -> list[str]:
    names = model.tokenizer.convert_ids_to_tokens  # type: ignore[attr-defined]
    return ["-" if token == IGNORED else names(token) for token in ids.tolist()]


def test_padding_by_hand(dataset: SpeechDataset, model: SpeechModel) -> None:
    batch = dataset[MicroBatch((row((0, 0.0)), row((1, 0.0))), 4.0)]
    expected = torch.zeros(2, 32_000)
    expected[0, :16_000], expected[1] = 0.5, 0.25
    torch.testing.assert_close(batch.waveforms, expected)
    assert tokens(model, batch.labels[0]) == ["<|en|>", "-", "-", "Ġone", "<|endoftext|>", "-"]
    assert tokens(model, batch.labels[1])[3:] == ["Ġtwo", "Ġwords", "<|endoftext|>"]
    assert batch.decoder_input_ids[0, -1] == 0
    assert (batch.num_target_tokens, batch.speech_s, batch.width_s) == (7, 3.0, 4.0)


def test_clips_lie_where_the_plan_put_them(dataset: SpeechDataset, model: SpeechModel) -> None:
    batch = dataset[MicroBatch((row((1, 0.5), (0, 2.54), timestamps=True),), 4.0)]
    samples = batch.waveforms[0]
    assert len(samples) == round(3.54 * 16_000)
    assert samples[:8_000].abs().max() == samples[40_000:40_640].abs().max() == 0
    assert (samples[8_000:40_000] == 0.25).all()
    assert (samples[40_640:] == 0.5).all()
    times = [token for token in tokens(model, batch.labels[0]) if token[2:3].isdigit()]
    assert times == ["<|0.50|>", "<|2.50|>", "<|2.54|>", "<|3.54|>"]


def test_halves_hold_all_rows(dataset: SpeechDataset) -> None:
    batch = dataset[MicroBatch((row((0, 0.0)), row((1, 0.0)), row((0, 0.0))), 4.0)]
    first, second = batch.halves()
    assert (len(first.labels), len(second.labels)) == (1, 2)
    assert first.num_target_tokens + second.num_target_tokens == batch.num_target_tokens
    assert first.speech_s + second.speech_s == pytest.approx(batch.speech_s)
    assert torch.equal(torch.cat([first.waveforms, second.waveforms]), batch.waveforms)


def test_passes_are_filled_in_order_up_to_a_limit(dataset: SpeechDataset) -> None:
    """Batches of 3, 1 and 2 rows of 4 s."""
    batches = [dataset[MicroBatch(tuple([row((0, 0.0))] * count), 4.0)] for count in (3, 1, 2)]

    def rows(**limits: float) -> list[list[int]]:
        return [[len(batch.labels) for batch in together] for together in divide_into_passes(batches, Limits(**limits))]

    assert rows() == [[3, 1, 2]]
    assert rows(input_s_total=16.0) == [[3, 1], [2]]
    assert rows(speech_s=3.0) == [[3], [1, 2]]
    # the three rows become one and two
    assert rows(input_s_total=8.0) == [[1], [2], [1], [2]]
    assert rows(input_s_total=1.0) == [[1]] * 6


def test_answers_are_what_has_to_be_answered(dataset: SpeechDataset) -> None:
    batch = dataset[MicroBatch((row((0, 0.0)), row((1, 0.0))), 4.0)]
    found = target_inputs(batch, torch.device("cpu"))
    assert found["target_positions"].tolist() == [0, 3, 4, 6, 9, 10, 11]
    assert torch.equal(batch.labels.flatten()[found["target_positions"]], found["targets"])


def test_utterances_in_order_see_what_the_longest_of_their_batch_needs() -> None:
    utterances = [Utterance(Path("x.wav"), "x", seconds) for seconds in (3.0, 5.0, 2.0)]
    planned = list(in_order(utterances, batch_size=2, width_s=lambda longest_s: longest_s + 1))
    assert [batch.width_s for batch in planned] == [6.0, 3.0]
    assert [[window.clips[0].index for window in batch.windows] for batch in planned] == [[0, 1], [2]]


def test_workers_receive_texts_and_paths_and_no_model(tiny_model: Path, tiny_speech: Path) -> None:
    utterances = read_manifest([tiny_speech]).utterances
    dataset = SpeechDataset(utterances, load(find(str(tiny_model))))
    assert len(pickle.dumps(dataset)) < 10_000
    planned: list[Step] = [[batch] for batch in in_order(utterances, batch_size=2, width_s=lambda _: 30.0)]

    def steps(num_workers: int) -> list[list[Batch]]:
        return list(StepLoader(dataset, lambda _: planned, num_steps=3, num_workers=num_workers, pin_memory=False))

    alone, spread = steps(0), steps(2)
    assert len(alone) == 3
    for (one,), (other,) in zip(alone, spread, strict=True):
        assert one.waveforms.equal(other.waveforms)
        assert one.labels.equal(other.labels)
