"""Hugging Face folders of Whisper in transformers, with transformers' own decoding.

S samples of 16 kHz mono, B batch (1 here), U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eartune.audio import SAMPLE_RATE_HZ
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.limits import WINDOW_S
from eartune.runtimes.runtime import (
    MAX_TOKENS,
    LongTranscript,
    Task,
    padded,
    supported_language,
    supported_task,
)
from eartune.runtimes.torch_threads import torch_threads
from eartune.runtimes.transformers_folder import TransformersFolder

# Whisper's own temperatures and thresholds; a compression ratio of tokens, as in transformers' documentation
FALLBACK: dict[str, Any] = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "condition_on_prev_tokens": False,
}


class TransformersWhisper(TransformersFolder):
    """A Whisper's folder."""

    loader = "AutoModelForSpeechSeq2Seq"

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        super().__init__(folder, device=device, num_threads=num_threads, task=task)
        self._multilingual = bool(self._model.generation_config.is_multilingual)
        supported_task(task, multilingual=self._multilingual)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        tokens_BU = self._generate(self._features(padded(waveform_S)), language, max_new_tokens=MAX_TOKENS)
        return str(self._processor.batch_decode(tokens_BU, skip_special_tokens=True)[0]).strip()

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        is_long = len(waveform_S) > WINDOW_S * SAMPLE_RATE_HZ
        inputs = (
            self._features(waveform_S, truncation=False, padding="longest", return_attention_mask=True)
            if is_long
            else self._features(waveform_S)
        )
        # windows decoded again are sampled at random: with a seed, reproducibly
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found = self._generate(
                inputs, language, return_timestamps=True, return_segments=True, **(FALLBACK if is_long else {})
            )
        segments = [
            Segment(
                round(float(each["start"]), 2),
                round(float(each["end"]), 2),
                self._processor.decode(each["tokens"], skip_special_tokens=True).strip(),
            )
            for each in found["segments"][0]
        ]
        # transformers does not return the temperature at which it decoded a window
        return LongTranscript(tuple(segments), None)

    @torch.no_grad()
    def first_token_logits(self, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
        inputs, settings = self._features(padded(waveform_S)), self._model.generation_config
        prompt = [settings.decoder_start_token_id]
        with torch_threads(self._num_threads):
            if self._multilingual:
                code = self._supported(language)
                token = (
                    int(self._model.detect_language(**inputs)[0])
                    if code is None
                    else settings.lang_to_id[f"<|{code}|>"]
                )
                prompt += [token, settings.task_to_id[self._task]]
            prompt_BU = torch.tensor([[*prompt, settings.no_timestamps_token_id]], device=self._device)
            logits_BUV = self._model(**inputs, decoder_input_ids=prompt_BU).logits
        found_V: npt.NDArray[np.float32] = logits_BUV[0, -1].float().cpu().numpy()
        return found_V

    def _features(self, waveform_S: Waveform, **settings: Any) -> Any:
        return self._moved(self._processor(waveform_S, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **settings))

    def _generate(self, inputs: Any, language: str | None, **settings: Any) -> Any:
        code = self._supported(language)
        prompt = {"language": code, "task": self._task} if self._multilingual else {}
        with torch_threads(self._num_threads):
            return self._model.generate(**inputs, **prompt, **settings)

    def _supported(self, language: str | None) -> str | None:
        names = self._model.generation_config.lang_to_id if self._multilingual else {}
        return supported_language(
            language,
            known=[name.strip("<|>") for name in names],
            multilingual=self._multilingual,
            stand_ins=self.stand_ins,
        )
