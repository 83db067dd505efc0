"""OpenAI's .pt files in openai-whisper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.runtime import (
    MAX_TOKENS,
    LongTranscript,
    RuntimeBase,
    Task,
    count_fallbacks,
    opening,
    padded,
    supported_language,
    supported_task,
)
from eartune.runtimes.torch_threads import torch_threads


class OpenAIWhisper(RuntimeBase):
    """A .pt file opened in openai-whisper: float32 on a CPU with `num_threads`, float16 on a CUDA device."""

    def __init__(self, path: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        with opening(path, package="whisper", extra="openai-whisper", program="openai-whisper"):
            import whisper  # noqa: PLC0415  an optional package

            self._whisper = whisper
            self._model = whisper.load_model(str(path.resolve()), device=device)
        self._task = supported_task(task, multilingual=self._model.is_multilingual)
        self._num_threads = num_threads
        self._fp16 = device != "cpu"

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        options = self._whisper.DecodingOptions(
            language=self._supported(language),
            task=self._task,
            temperature=0.0,
            sample_len=MAX_TOKENS,
            without_timestamps=True,
            fp16=self._fp16,
        )
        with torch_threads(self._num_threads):
            return str(self._whisper.decode(self._model, self._mel(waveform_S), options).text).strip()

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        # windows decoded again are sampled at random: with a seed, reproducibly
        with torch_threads(self._num_threads), torch.random.fork_rng():
            torch.manual_seed(0)
            found = self._model.transcribe(
                waveform_S,
                language=self._supported(language),
                task=self._task,
                condition_on_previous_text=False,
                fp16=self._fp16,
                verbose=None,
            )["segments"]
        return LongTranscript(
            tuple(Segment(round(each["start"], 2), round(each["end"], 2), each["text"].strip()) for each in found),
            count_fallbacks((each["seek"], each["temperature"]) for each in found),
        )

    @torch.no_grad()
    def first_token_logits(self, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
        mel_MT, code = self._mel(waveform_S), self._supported(language)
        with torch_threads(self._num_threads):
            if code is None:
                _, probabilities = self._model.detect_language(mel_MT)
                code = max(probabilities, key=probabilities.__getitem__)
            tokenizer = self._whisper.tokenizer.get_tokenizer(
                self._model.is_multilingual,
                num_languages=self._model.num_languages,
                language=code,
                task=self._task,
            )
            prompt_1U = torch.tensor([tokenizer.sot_sequence_including_notimestamps], device=mel_MT.device)
            logits_1UV = self._model.logits(prompt_1U, self._model.embed_audio(mel_MT[None]))
        found_V: npt.NDArray[np.float32] = logits_1UV[0, -1].float().cpu().numpy()
        return found_V

    def _mel(self, waveform_S: Waveform) -> torch.Tensor:
        mel_MT: torch.Tensor = self._whisper.log_mel_spectrogram(
            padded(waveform_S), n_mels=self._model.dims.n_mels, device=self._model.device
        )
        return mel_MT.half() if self._fp16 else mel_MT

    def _supported(self, language: str | None) -> str | None:
        names = list(self._whisper.tokenizer.LANGUAGES)[: self._model.num_languages]
        return supported_language(
            language, known=names, multilingual=self._model.is_multilingual, stand_ins=self.stand_ins
        )
