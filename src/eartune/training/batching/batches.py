"""Utterances as batches of waveforms and labels. Audio is decoded in the loader's workers, features are not computed.

B batch, S samples, U tokens, N targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from eartune.audio import SAMPLE_RATE_HZ, decode
from eartune.errors import InputError
from eartune.manifest import Utterance
from eartune.model import IGNORED, SpeechModel, Transcripts, Waveform
from eartune.training.batching.plan import Limits, MicroBatch
from eartune.training.batching.windows import UnplacedUtterance, Window, alone


@dataclass(frozen=True)
class Batch:
    """One forward pass, on the CPU. waveforms [B, S] float32, zeros where there is no speech, and the `samples` [B] up
    to the end of the last; decoder_input_ids [B, U]; labels [B, U], IGNORED where there is no target; the
    encoder sees `width_s` of each row.

    Where the encoder's states are kept, `keys` name those of each row; there are no waveforms if all are known."""

    waveforms: torch.Tensor | None
    samples: torch.Tensor | None
    decoder_input_ids: torch.Tensor
    labels: torch.Tensor
    width_s: float
    speech_s: float
    keys: tuple[str, ...] = ()

    @property
    def filled(self) -> float:
        """The share of the width that the longest row takes."""
        assert self.waveforms is not None
        return self.waveforms.shape[1] / (self.width_s * SAMPLE_RATE_HZ)

    @property
    def input_s_total(self) -> float:
        """What the encoder sees of all rows together."""
        return len(self.labels) * self.width_s

    @property
    def num_target_tokens(self) -> int:
        """The number of target tokens the loss is averaged over; a row without any counts as one."""
        return int((self.labels != IGNORED).sum(dim=1).clamp(min=1).sum())

    def pin_memory(self) -> Batch:
        """Return the same batch in memory that a GPU reads directly; the loader calls this."""
        return self if self.waveforms is None else replace(self, waveforms=self.waveforms.pin_memory())

    def halves(self) -> tuple[Batch, Batch]:
        """Divide the rows; there must be two of them."""
        middle = len(self.labels) // 2
        return self._rows(slice(0, middle)), self._rows(slice(middle, None))

    def _rows(self, rows: slice) -> Batch:
        return Batch(
            None if self.waveforms is None else self.waveforms[rows],
            None if self.samples is None else self.samples[rows],
            self.decoder_input_ids[rows],
            self.labels[rows],
            self.width_s,
            self.speech_s * len(self.labels[rows]) / len(self.labels),
            self.keys[rows],
        )


class SpeechDataset(Dataset[Batch]):
    """Makes batches of a plan's windows. Holds texts as tokens and no model, so that workers receive little."""

    def __init__(self, utterances: Sequence[Utterance], model: SpeechModel) -> None:
        self.utterances = tuple(utterances)
        self.transcripts: Transcripts = model.transcripts(utterances)
        self.pad_token_id = model.pad_token_id()

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, planned: MicroBatch) -> Batch:
        labels = [self.transcripts.labels(w.clips, timestamps=w.timestamps) for w in planned.windows]
        num_tokens = max(len(row.targets) for row in labels)
        inputs_BU = torch.full((len(labels), num_tokens), self.pad_token_id, dtype=torch.long)
        targets_BU = torch.full((len(labels), num_tokens), IGNORED, dtype=torch.long)
        for row, label in enumerate(labels):
            inputs_BU[row, : len(label.decoder_input_ids)] = torch.tensor(label.decoder_input_ids)
            targets_BU[row, : len(label.targets)] = torch.tensor(label.targets)
        speech_s = sum(self.utterances[clip.index].duration_s for window in planned.windows for clip in window.clips)
        waveforms_BS = samples_B = None
        if not planned.known:
            waveforms_BS, samples_B = self._waveforms(planned.windows, round(planned.width_s * SAMPLE_RATE_HZ))
        return Batch(waveforms_BS, samples_B, inputs_BU, targets_BU, planned.width_s, speech_s, planned.keys)

    def clips(self) -> list[UnplacedUtterance]:
        """Describe the utterances for a plan."""
        texts = self.transcripts
        return [
            UnplacedUtterance(
                index,
                utterance.duration_s,
                texts.num_tokens(index),
                texts.language(index),
                is_timed=bool(utterance.segments),
            )
            for index, utterance in enumerate(self.utterances)
        ]

    def _waveforms(self, windows: Sequence[Window], most_samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        placed = [
            [(round(clip.start_s * SAMPLE_RATE_HZ), load_waveform(self.utterances[clip.index])) for clip in w.clips]
            for w in windows
        ]
        samples_B = torch.tensor([max(start + len(waveform) for start, waveform in row) for row in placed])
        waveforms_BS = np.zeros((len(placed), int(samples_B.max())), dtype=np.float32)
        for waveform_S, row in zip(waveforms_BS, placed, strict=True):
            for start, waveform in row:
                waveform_S[start : start + len(waveform)] = waveform
        # a file may hold a sample more than its duration says
        return torch.from_numpy(waveforms_BS[:, :most_samples]), samples_B.clamp(max=most_samples)


def load_waveform(utterance: Utterance) -> Waveform:
    """Decode an utterance to 16 kHz mono. Raises InputError that names its row."""
    try:
        return decode(
            utterance.audio, offset_s=utterance.offset_s, duration_s=utterance.duration_s, channel=utterance.channel
        )
    except InputError as error:
        raise InputError(f"{utterance.source}: {error}" if utterance.source else str(error)) from error


def in_order(
    utterances: Sequence[Utterance], *, batch_size: int, width_s: Callable[[float], float]
) -> Iterator[MicroBatch]:
    """Plan batches of single utterances, in order; `width_s` tells what is seen of the longest of a batch."""
    for start in range(0, len(utterances), batch_size):
        rows = utterances[start : start + batch_size]
        width = width_s(max(utterance.duration_s for utterance in rows))
        clips = [
            UnplacedUtterance(index, utterance.duration_s, 0, None) for index, utterance in enumerate(rows, start=start)
        ]
        yield MicroBatch(tuple(alone(clip, input_s=width) for clip in clips), width)


def passes(batches: Iterable[Batch], limits: Limits) -> list[list[Batch]]:
    """Divide batches into passes within the limits, at least one row in each."""
    found: list[list[Batch]] = []
    input_s_total = speech_s = 0.0
    for batch in _divided(batches, limits.input_s_total):
        input_s_total, speech_s = input_s_total + batch.input_s_total, speech_s + batch.speech_s
        if not found or input_s_total > limits.input_s_total or speech_s > limits.speech_s:
            found.append([])
            input_s_total, speech_s = batch.input_s_total, batch.speech_s
        found[-1].append(batch)
    return found


def _divided(batches: Iterable[Batch], input_s_total: float) -> Iterator[Batch]:
    for batch in batches:
        if batch.input_s_total <= input_s_total or len(batch.labels) == 1:
            yield batch
        else:
            yield from _divided(batch.halves(), input_s_total)


def to_inputs(batch: Batch, model: SpeechModel, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the network's arguments and the labels on a device, with features computed there."""
    return {
        **encoder_inputs(batch, model, device),
        "decoder_input_ids": batch.decoder_input_ids.to(device),
        "labels": batch.labels.to(device),
    }


def encoder_inputs(batch: Batch, model: SpeechModel, device: torch.device) -> dict[str, torch.Tensor]:
    """Compute the features of a batch on a device."""
    return model.features(on_device(batch.waveforms, device), on_device(batch.samples, device), batch.width_s)


def on_device(tensor: torch.Tensor | None, device: torch.device) -> torch.Tensor:
    assert tensor is not None
    return tensor.to(device, non_blocking=True)


def target_inputs(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the decoder's side of SpeechModel.summed_loss, counted on the CPU: nothing waits for a GPU."""
    labels = batch.labels.flatten()
    rows_N = (labels != IGNORED).nonzero().flatten()
    found = {
        "decoder_input_ids": batch.decoder_input_ids,
        "target_positions": rows_N,
        "targets": labels[rows_N],
        "target_lengths": (batch.labels != IGNORED).sum(dim=1),
    }
    return {name: tensor.to(device, non_blocking=True) for name, tensor in found.items()}
