"""Hugging Face folders in transformers, with transformers' own decoding.

S samples of 16 kHz mono, B batch (1 here), U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.model import Waveform
from eartune.runtimes.runtime import (
    RuntimeBase,
    Task,
    opening,
)
from eartune.runtimes.torch_threads import torch_threads
from eartune.weights import network_weights, require_finite


class TransformersFolder(RuntimeBase):
    """A folder opened with transformers in its own precision, on a CPU with `num_threads` or on a CUDA device."""

    # the class of transformers that loads the weights
    loader: str

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        with opening(folder, package="transformers", extra="transformers>=5.23", program="transformers"):
            self._processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
            loader = getattr(transformers, self.loader)
            self._model = loader.from_pretrained(folder, local_files_only=True, dtype="auto").to(device).eval()
        require_finite(network_weights(self._model), where=str(folder))
        self._task, self._num_threads, self._device = task, num_threads, device

    def _moved(self, inputs: Any) -> Any:
        return inputs.to(self._device, self._model.dtype)


class TransformersCTC(TransformersFolder):
    """A folder of a CTC network; the language is ignored."""

    loader = "AutoModelForCTC"

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        super().__init__(folder, device=device, num_threads=num_threads, task=task)
        if task != "transcribe":
            raise InputError(f"task {task!r}: this model only transcribes; leave it at transcribe")

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        return str(self._decoded(self._generate(waveform_S, language))[0]).strip()

    def _language_inputs(self, language: str | None) -> dict[str, str]:  # noqa: ARG002  most have none
        """Return the processor's inputs for the language of a clip."""
        return {}

    def _generate(self, waveform_S: Waveform, language: str | None) -> Any:
        language_inputs = self._language_inputs(language)
        inputs = self._moved(self._processor(waveform_S, sampling_rate=SAMPLE_RATE_HZ, **language_inputs))
        with torch_threads(self._num_threads):
            return self._model.generate(**inputs, return_dict_in_generate=True)

    def _decoded(self, found: Any, **settings: Any) -> Any:
        return self._processor.decode(found.sequences, skip_special_tokens=True, **settings)
