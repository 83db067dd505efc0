"""Batches by hand, and sent to workers."""

import pickle
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from eartune.families.whisper.load import find, load
from eartune.manifest import read_manifest
from eartune.speech_model import IGNORED, Labels
from eartune.training.batches import Example, SpeechDataset, collate, collator


def test_padding_by_hand() -> None:
    first = Example(np.array([0.1, 0.2, 0.3], dtype=np.float32), Labels([5, 6], [6, 9]))
    second = Example(np.array([0.5], dtype=np.float32), Labels([5, 7, 8], [7, 8, 9]))
    batch = collate([first, second], pad_token_id=0)
    expected = torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.0, 0.0]])
    torch.testing.assert_close(batch["waveforms"], expected)
    assert batch["decoder_input_ids"].tolist() == [[5, 6, 0], [5, 7, 8]]
    assert batch["labels"].tolist() == [[6, 9, IGNORED], [7, 8, 9]]
    assert float(batch["audio_seconds"]) == np.float32(4 / 16_000)


def test_workers_receive_texts_and_paths_and_no_model(tiny_model: Path, tiny_speech: Path) -> None:
    speech = load(find(str(tiny_model)))
    dataset = SpeechDataset(read_manifest([tiny_speech]).utterances, speech)
    assert len(pickle.dumps((dataset, collator(speech)))) < 10_000
    alone, spread = (
        list(DataLoader(dataset, batch_size=2, collate_fn=collator(speech), num_workers=workers)) for workers in (0, 2)
    )
    assert len(alone) == 3
    for one, other in zip(alone, spread, strict=True):
        assert all(one[name].equal(other[name]) for name in one)
