"""OpenAI's .pt files in openai-whisper."""

from __future__ import annotations

from pathlib import Path

import torch

from eartune.runtimes.runtime import (
    MAX_TOKENS,
    LongTranscript,
    Opened,
    count_fallbacks,
    known_language,
    opening,
    padded,
)
from eartune.speech_model import Segment, Waveform


class OpenAIWhisper(Opened):
    """A .pt file opened in openai-whisper, in float32 on a CPU and in float16 on a CUDA device."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        with opening(path, package="whisper", extra="openai-whisper", program="openai-whisper"):
            import whisper  # noqa: PLC0415  an optional package

            self._whisper = whisper
            self._model = whisper.load_model(str(path.resolve()), device=device)
        self._fp16 = device != "cpu"

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        mel_MT = self._whisper.log_mel_spectrogram(
            padded(waveform_S), n_mels=self._model.dims.n_mels, device=self._model.device
        )
        options = self._whisper.DecodingOptions(
            language=self._known(language),
            temperature=0.0,
            sample_len=MAX_TOKENS,
            without_timestamps=True,
            fp16=self._fp16,
        )
        return str(self._whisper.decode(self._model, mel_MT.to(self._model.device), options).text).strip()

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        # windows that are decoded again draw their words: the same ones each time
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found = self._model.transcribe(
                waveform_S,
                language=self._known(language),
                condition_on_previous_text=False,
                fp16=self._fp16,
                verbose=None,
            )["segments"]
        return LongTranscript(
            tuple(Segment(round(each["start"], 2), round(each["end"], 2), each["text"].strip()) for each in found),
            count_fallbacks((each["seek"], each["temperature"]) for each in found),
        )

    def _known(self, language: str | None) -> str | None:
        names = list(self._whisper.tokenizer.LANGUAGES)[: self._model.num_languages]
        return known_language(language, known=names, multilingual=self._model.is_multilingual)
