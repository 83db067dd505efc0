"""Batches of waveforms and labels. Audio is decoded in the loader's workers; features are computed on the device.

B batch, S samples, U tokens, N targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from eartune.audio import SAMPLE_RATE_HZ
from eartune.manifest import Utterance, load_waveform
from eartune.model import IGNORED, SpeechModel, Transcripts
from eartune.training.batching.plan import MicroBatch
from eartune.training.batching.windows import UnplacedUtterance, Window


@dataclass(frozen=True)
class Batch:
    """Input of one forward pass, on the CPU: waveforms [B, S] float32, zeros outside speech, and `samples` [B], the
    end of speech in each row; decoder_input_ids [B, U], zeros after the last token; labels [B, U], IGNORED where there
    is no target; `width_s` is the encoder input of each row.

    With cached encoder states, `keys` has the key of each row; there are no waveforms if all states are cached."""

    waveforms: torch.Tensor | None
    samples: torch.Tensor | None
    decoder_input_ids: torch.Tensor
    labels: torch.Tensor
    width_s: float
    speech_s: float
    keys: tuple[str, ...] = ()

    @property
    def input_s_total(self) -> float:
        """Encoder input of all rows together."""
        return len(self.labels) * self.width_s

    @property
    def num_target_tokens(self) -> int:
        """The number of target tokens the loss is averaged over; a row without any counts as one."""
        return int((self.labels != IGNORED).sum(dim=1).clamp(min=1).sum())

    def pin_memory(self) -> Batch:
        """Return the same batch in memory that a GPU reads directly; the loader calls this."""
        return self if self.waveforms is None else replace(self, waveforms=self.waveforms.pin_memory())

    def halves(self) -> tuple[Batch, Batch]:
        """Divide the rows in two; there must be at least two."""
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
    """Makes batches of a plan's windows. Holds tokenised texts and no model, so that workers are sent little."""

    def __init__(self, utterances: Sequence[Utterance], model: SpeechModel) -> None:
        self.utterances = tuple(utterances)
        self.transcripts: Transcripts = model.transcripts(utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, planned: MicroBatch) -> Batch:
        labels = [self.transcripts.labels(w.clips, timestamps=w.timestamps) for w in planned.windows]
        num_tokens = max(len(row.targets) for row in labels)
        inputs_BU = torch.zeros(len(labels), num_tokens, dtype=torch.long)
        targets_BU = torch.full((len(labels), num_tokens), IGNORED, dtype=torch.long)
        for row, label in enumerate(labels):
            inputs_BU[row, : len(label.decoder_input_ids)] = torch.tensor(label.decoder_input_ids)
            targets_BU[row, : len(label.targets)] = torch.tensor(label.targets)
        speech_s = sum(self.utterances[clip.index].duration_s for window in planned.windows for clip in window.clips)
        waveforms_BS = samples_B = None
        if not planned.all_cached:
            waveforms_BS, samples_B = self._waveforms(planned.windows, round(planned.width_s * SAMPLE_RATE_HZ))
        return Batch(waveforms_BS, samples_B, inputs_BU, targets_BU, planned.width_s, speech_s, planned.keys)

    def clips(self) -> list[UnplacedUtterance]:
        """Return the utterances as a plan needs them."""
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

    def _waveforms(self, windows: Sequence[Window], max_samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        placed = [
            [(round(clip.start_s * SAMPLE_RATE_HZ), load_waveform(self.utterances[clip.index])) for clip in w.clips]
            for w in windows
        ]
        samples_B = torch.tensor([max(start + len(waveform) for start, waveform in row) for row in placed])
        waveforms_BS = np.zeros((len(placed), int(samples_B.max())), dtype=np.float32)
        for waveform_S, row in zip(waveforms_BS, placed, strict=True):
            for start, waveform in row:
                waveform_S[start : start + len(waveform)] = waveform
        # a file may have one sample more than its duration
        return torch.from_numpy(waveforms_BS[:, :max_samples]), samples_B.clamp(max=max_samples)
