"""Utterances as padded batches of waveforms and labels. Audio is decoded in the loader's workers, features are not.

B batch, S samples, U tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from eartune.audio import SAMPLE_RATE_HZ, decode
from eartune.manifest import Utterance
from eartune.speech_model import IGNORED, Labels, SpeechModel, Waveform

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Example:
    """One utterance, decoded."""

    waveform: Waveform
    labels: Labels


class SpeechDataset(Dataset[Example]):
    """Decodes utterances on access. Holds texts as tokens and no model, so that workers receive little."""

    def __init__(self, utterances: Sequence[Utterance], speech: SpeechModel) -> None:
        self.utterances = tuple(utterances)
        self.labels = [speech.labels(utterance) for utterance in utterances]

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> Example:
        utterance = self.utterances[index]
        return Example(load_waveform(utterance), self.labels[index])


def load_waveform(utterance: Utterance) -> Waveform:
    """Decode an utterance to 16 kHz mono."""
    return decode(utterance.audio, offset_s=utterance.offset_s, duration_s=utterance.duration_s)


def collator(speech: SpeechModel) -> Any:
    """Return the function that makes a batch of examples; it can be sent to workers."""
    return partial(collate, pad_token_id=speech.pad_token_id())


def collate(examples: Sequence[Example], *, pad_token_id: int) -> Batch:
    """Pad examples into a batch.

    waveforms [B, S] float32, zeros after each clip; decoder_input_ids [B, U]; labels [B, U], IGNORED where there is
    nothing to answer; audio_seconds [] of real audio.
    """
    num_samples = [len(example.waveform) for example in examples]
    num_tokens = max(len(example.labels.targets) for example in examples)
    waveforms_BS = np.zeros((len(examples), max(num_samples)), dtype=np.float32)
    inputs_BU = torch.full((len(examples), num_tokens), pad_token_id, dtype=torch.long)
    targets_BU = torch.full((len(examples), num_tokens), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        waveforms_BS[row, : num_samples[row]] = example.waveform
        inputs_BU[row, : len(example.labels.decoder_input_ids)] = torch.tensor(example.labels.decoder_input_ids)
        targets_BU[row, : len(example.labels.targets)] = torch.tensor(example.labels.targets)
    return {
        "waveforms": torch.from_numpy(waveforms_BS),
        "decoder_input_ids": inputs_BU,
        "labels": targets_BU,
        "audio_seconds": torch.tensor(sum(num_samples) / SAMPLE_RATE_HZ),
    }


def to_inputs(batch: Batch, speech: SpeechModel) -> Batch:
    """Replace waveforms by features, on the device where they are; what is left are the network's arguments."""
    inputs = {name: value for name, value in batch.items() if name not in ("waveforms", "audio_seconds")}
    return {"input_features": speech.features(batch["waveforms"]), **inputs}
