"""Folders of CTranslate2 in faster-whisper."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, NotRequired

import numpy as np
import numpy.typing as npt
from pydantic import Field
from typing_extensions import TypedDict

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import EartuneError, InputError
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.model_folder import TokenId, require_tokenizer_files, require_tokens
from eartune.parsing import read_json
from eartune.runtimes.runtime import (
    LongTranscript,
    RuntimeBase,
    Task,
    count_fallbacks,
    opening,
    padded,
    supported_language,
    supported_task,
)

ADVICE = "export the model again"
FILES = ("model.bin", "config.json", "vocabulary.json", "tokenizer.json", "preprocessor_config.json")

# speech has fewer segments; decoding with a file whose times are broken would not end
MAX_SEGMENTS_PER_S, EXTRA_SEGMENTS = 4, 40


# CTranslate2 takes models with as many tokens for multilingual ones, and detects languages by lang_ids
MULTILINGUAL_TOKENS = 51865


class _Config(TypedDict):
    """config.json. CTranslate2 trusts it: without these keys, or with tokens beyond the last, the process ends."""

    alignment_heads: NotRequired[list[list[Annotated[int, Field(ge=0, le=1000)]]]]
    lang_ids: list[TokenId]
    suppress_ids: list[TokenId]
    suppress_ids_begin: list[TokenId]


_Vocabulary = Annotated[list[str], Field(min_length=1)]


class _Preprocessor(TypedDict, total=False):
    """preprocessor_config.json, whose values faster-whisper computes features by."""

    feature_size: Annotated[int, Field(ge=1, le=1000)]
    sampling_rate: Literal[16_000]
    n_fft: Literal[400]
    hop_length: Literal[160]
    chunk_length: Literal[30]


def _require_sound_settings(folder: Path) -> None:
    """Raise InputError, by file, for settings of other types, and for tokens that the vocabulary has not."""
    path = folder / "config.json"
    settings = read_json(path, _Config, advice=ADVICE)
    read_json(folder / "preprocessor_config.json", _Preprocessor, advice=ADVICE)
    require_tokenizer_files(folder, advice=ADVICE)
    vocabulary = read_json(folder / "vocabulary.json", _Vocabulary, advice=ADVICE)
    tokens = {
        "lang_ids": settings["lang_ids"],
        "suppress_ids": settings["suppress_ids"],
        "suppress_ids_begin": settings["suppress_ids_begin"],
    }
    require_tokens(tokens, len(vocabulary), where=str(path))
    if len(vocabulary) >= MULTILINGUAL_TOKENS and not settings["lang_ids"]:
        raise InputError(f"{path}: lang_ids is empty, but the model is multilingual; {ADVICE}")


class FasterWhisper(RuntimeBase):
    """A folder opened in faster-whisper, on a CPU with `num_threads`, or on a CUDA device."""

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        self._folder = folder
        if folder.is_file():
            raise InputError(f"{folder}: is not a folder; faster-whisper runs folders of CTranslate2")
        # faster-whisper gets a missing tokenizer from the hub, and assumes 80 mel bins without a feature configuration
        missing = [name for name in FILES if folder.is_dir() and not (folder / name).is_file()]
        if missing:
            raise InputError(f"{folder}: has no {missing[0]}, which faster-whisper needs; export the model again")
        with opening(folder, package="faster_whisper", extra="eartune[ctranslate2]", program="faster-whisper"):
            _require_sound_settings(folder)
            import ctranslate2  # noqa: PLC0415  optional extras
            from faster_whisper import WhisperModel  # noqa: PLC0415

            # it warns that a CPU computes float16 in float32
            ctranslate2.set_log_level(logging.ERROR)
            self._model = WhisperModel(str(folder), device=device, cpu_threads=num_threads, local_files_only=True)
        needed, made = self._model.model.n_mels, len(self._model.feature_extractor.mel_filters)
        if needed != made:
            raise InputError(
                f"{folder}: preprocessor_config.json has {made} mel bins, its network {needed}; export the model again"
            )
        self._task = supported_task(task, multilingual=self._model.model.is_multilingual)

    @property
    def arithmetic(self) -> str:
        """The compute type: a CPU computes float16 weights in float32."""
        return str(self._model.model.compute_type)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        # faster-whisper pads a window with zeros in the features, which is not silence but noise: tiny models then
        # write other words. Silence in the samples gives the features of all other runtimes. No max_new_tokens:
        # CTranslate2 writes half as many; without it, half of the model's 448 positions.
        segments, _ = self._model.transcribe(
            padded(waveform_S),
            language=self._supported(language),
            task=self._task,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        return "".join(segment.text for segment in segments).strip()

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        import ctranslate2  # noqa: PLC0415  an optional extra

        # windows decoded again are sampled at random: with a seed, reproducibly
        ctranslate2.set_random_seed(0)
        found, _ = self._model.transcribe(
            waveform_S,
            language=self._supported(language),
            task=self._task,
            beam_size=1,
            best_of=1,
            condition_on_previous_text=False,
        )
        limit = round(MAX_SEGMENTS_PER_S * len(waveform_S) / SAMPLE_RATE_HZ + EXTRA_SEGMENTS)
        segments = list(islice(found, limit))
        if len(segments) == limit:
            raise EartuneError(
                f"{self._folder}: writes a segment for each {1 / MAX_SEGMENTS_PER_S:g} s or less, so its times are "
                "broken; export the model again"
            )
        return LongTranscript(
            tuple(Segment(round(each.start, 2), round(each.end, 2), each.text.strip()) for each in segments),
            count_fallbacks((each.seek, each.temperature) for each in segments),
        )

    def first_token_logits(self, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
        from faster_whisper.tokenizer import Tokenizer  # noqa: PLC0415  an optional extra

        extractor, multilingual = self._model.feature_extractor, self._model.model.is_multilingual
        features_MT = extractor(padded(waveform_S))[:, : extractor.nb_max_frames]
        code = self._supported(language) or self._model.detect_language(features=features_MT)[0]
        tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual, task=self._task, language=code)
        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)
        (found,) = self._model.model.generate(
            self._model.encode(features_MT),
            [prompt],
            beam_size=1,
            max_length=len(prompt),
            suppress_blank=False,
            suppress_tokens=[],
            return_logits_vocab=True,
        )
        import ctranslate2  # noqa: PLC0415  an optional extra

        # on a CUDA device the logits are there, and in float16
        first_V = found.logits[0][0].to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32)
        return np.array(first_V)

    def _supported(self, language: str | None) -> str | None:
        tokens = self._model.hf_tokenizer.get_vocab()
        names = [name for name in self._model.supported_languages if f"<|{name}|>" in tokens]
        return supported_language(
            language, known=names, multilingual=self._model.model.is_multilingual, stand_ins=self.stand_ins
        )
