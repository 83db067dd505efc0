"""Folders of CTranslate2 in faster-whisper."""

from __future__ import annotations

from pathlib import Path

from eartune.errors import InputError
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

FILES = ("model.bin", "config.json", "vocabulary.json", "tokenizer.json", "preprocessor_config.json")


class FasterWhisper(Opened):
    """A folder opened in faster-whisper, on a CPU with `num_threads`, or on a CUDA device."""

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1) -> None:
        if folder.is_file():
            raise InputError(f"{folder}: is not a folder; faster-whisper runs folders of CTranslate2")
        # faster-whisper asks the hub for a tokenizer that is missing, and takes 80 mel bins where nothing is said
        missing = [name for name in FILES if folder.is_dir() and not (folder / name).is_file()]
        if missing:
            raise InputError(f"{folder}: has no {missing[0]}, which faster-whisper needs; export the model again")
        with opening(folder, package="faster_whisper", extra="eartune[ctranslate2]", program="faster-whisper"):
            from faster_whisper import WhisperModel  # noqa: PLC0415  an optional extra

            self._model = WhisperModel(str(folder), device=device, cpu_threads=num_threads, local_files_only=True)
        needed, made = self._model.model.n_mels, len(self._model.feature_extractor.mel_filters)
        if needed != made:
            raise InputError(
                f"{folder}: preprocessor_config.json asks for {made} mel bins, its network for {needed}; export again"
            )

    @property
    def arithmetic(self) -> str:
        """What it is computed in: a CPU computes float16 weights in float32."""
        return str(self._model.model.compute_type)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        # faster-whisper fills a window with zeros in the features, which is no silence but a noise: tiny models then
        # write other words. Silence in the samples gives the features of all other programs.
        segments, _ = self._model.transcribe(
            padded(waveform_S),
            language=self._known(language),
            beam_size=1,
            temperature=0.0,
            max_new_tokens=MAX_TOKENS,
            without_timestamps=True,
            condition_on_previous_text=False,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        return "".join(segment.text for segment in segments).strip()

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        import ctranslate2  # noqa: PLC0415  an optional extra

        # windows that are decoded again draw their words: the same ones each time
        ctranslate2.set_random_seed(0)
        found, _ = self._model.transcribe(
            waveform_S, language=self._known(language), beam_size=1, best_of=1, condition_on_previous_text=False
        )
        heard = list(found)
        return LongTranscript(
            tuple(Segment(round(each.start, 2), round(each.end, 2), each.text.strip()) for each in heard),
            count_fallbacks((each.seek, each.temperature) for each in heard),
        )

    def _known(self, language: str | None) -> str | None:
        tokens = self._model.hf_tokenizer.get_vocab()
        names = [name for name in self._model.supported_languages if f"<|{name}|>" in tokens]
        return known_language(language, known=names, multilingual=self._model.model.is_multilingual)
