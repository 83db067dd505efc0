"""Folders of Whisper in ONNX, laid out as Optimum writes them, in onnxruntime.

onnx-asr runs them too, but always with a prompt of language and task, which English-only models do not have, and
without suppressing Whisper's suppressed tokens. The rules here are those of the folder's generation_config.json.
S samples, B batch, U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from transformers import WhisperFeatureExtractor, WhisperTokenizer

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.families.whisper.onnx.session import DECODER, ENCODER, Floats, OnDevice, WhisperGraphs
from eartune.families.whisper.settings import CompleteWhisperSettings
from eartune.families.whisper.timestamps import Timestamps
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.model_folder import CONFIG, GENERATION_CONFIG, Size, require_tokenizer_files, require_tokens
from eartune.parsing import read_json
from eartune.runtimes.limits import WINDOW_S
from eartune.runtimes.runtime import (
    MAX_TOKENS,
    LongTranscript,
    RuntimeBase,
    Task,
    opening,
    padded,
    supported_language,
    supported_task,
)

ADVICE = "export the model again"

FILES = (
    ENCODER, DECODER, CONFIG, GENERATION_CONFIG, "preprocessor_config.json", "tokenizer.json",
    "tokenizer_config.json",
)  # fmt: skip


class OnnxWhisper(RuntimeBase):
    """A folder opened in onnxruntime, on a CPU with `num_threads`, or on a CUDA device."""

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        missing = [name for name in FILES if folder.exists() and not (folder / name).is_file()]
        if missing:
            raise InputError(f"{folder}: has no {missing[0]}, which Whisper in ONNX needs; export the model again")
        with opening(folder, package="onnxruntime", extra="eartune[onnx]", program="onnxruntime"):
            self._rules = read_rules(folder, task)
            require_tokenizer_files(folder, advice=ADVICE)
            self._graphs = WhisperGraphs(folder, device=device, num_threads=num_threads)
            self._extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
            self._tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
        supported_task(task, multilingual=bool(self._rules.languages))
        self._require_same_features(folder)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        states = self._encode(waveform_S)
        return self._text(self._decode(states, self._language(states, language), timestamps=False))

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        """Decode window by window, each once, at temperature 0, without skipping any as silence."""
        found: list[Segment] = []
        duration_s, begin_s = len(waveform_S) / SAMPLE_RATE_HZ, 0.0
        while begin_s < duration_s:
            begin = round(begin_s * SAMPLE_RATE_HZ)
            window_S = waveform_S[begin : begin + WINDOW_S * SAMPLE_RATE_HZ]
            states = self._encode(window_S)
            language = self._language(states, language)
            decoded = self._decode(states, language, timestamps=True)
            parts, advance_s = self._rules.times.segments(decoded, len(window_S) / SAMPLE_RATE_HZ)
            for start_s, end_s, tokens in parts:
                start_s, end_s = (round(min(begin_s + each, duration_s), 2) for each in (start_s, end_s))
                found.append(Segment(start_s, end_s, self._text(tokens)))
            begin_s += advance_s
        return LongTranscript(tuple(each for each in found if each.text), num_fallbacks=0)

    def first_token_logits(self, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
        states = self._encode(waveform_S)
        prompt = self._rules.prompt(self._language(states, language), timestamps=False)
        logits_BUV, _ = self._graphs.decode(np.array([prompt]), states, None)
        logits_V: Floats = logits_BUV[0, -1]
        return logits_V

    def _decode(self, states: OnDevice, language: str | None, *, timestamps: bool) -> list[int]:
        """Decode greedily; return the tokens without <|endoftext|>."""
        tokens, past = self._rules.prompt(language, timestamps=timestamps), None
        decoded: list[int] = []
        for _ in range(self._rules.num_steps):
            logits_BUV, past = self._graphs.decode(np.array([tokens]), states, past)
            best = self._rules.choose(logits_BUV[0, -1], decoded, timestamps=timestamps)
            if best == self._rules.end:
                break
            decoded.append(best)
            tokens = [best]
        return decoded

    def _text(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def _encode(self, waveform_S: Waveform) -> OnDevice:
        features: Floats = self._extractor(
            padded(waveform_S), sampling_rate=SAMPLE_RATE_HZ, return_tensors="np"
        ).input_features
        return self._graphs.encode(features)

    def _language(self, states: OnDevice, language: str | None) -> str | None:
        """Return the language, detected if none is given and the model has several."""
        languages = self._rules.languages
        code = supported_language(language, known=languages, multilingual=bool(languages), stand_ins=self.stand_ins)
        if code is not None:
            return code
        logits_BUV, _ = self._graphs.decode(np.array([[self._rules.start]]), states, None)
        return max(languages, key=lambda name: float(logits_BUV[0, -1, languages[name]]))

    def _require_same_features(self, folder: Path) -> None:
        made = (self._extractor.feature_size, self._extractor.nb_max_frames)
        needed = (self._graphs.num_mels, self._graphs.num_frames)
        if made != needed:
            raise InputError(
                f"{folder}: preprocessor_config.json makes {made[0]} mel bins and {made[1]} frames,"
                f" its network takes {needed[0]} and {needed[1]}; export the model again"
            )


class _Config(BaseModel):
    """config.json, as far as it is read here."""

    max_target_positions: Size
    vocab_size: Size


class Rules:
    """Rules for the next token, from a model's own settings."""

    def __init__(self, settings: CompleteWhisperSettings, max_positions: int, task: Task) -> None:
        self.languages: dict[str, int] = {}
        self._task: list[int] = []
        if settings.is_multilingual:
            self.languages = {token.strip("<|>"): number for token, number in (settings.lang_to_id or {}).items()}
            self._task = [(settings.task_to_id or {})[task]]
        self.start, self.end = settings.decoder_start_token_id, settings.eos_token_id
        self._no_timestamps = settings.no_timestamps_token_id
        self.times = Timestamps(
            first=self._no_timestamps + 1,
            end_of_text=self.end,
            max_initial_index=settings.max_initial_timestamp_index,
        )
        self._suppressed = settings.suppress_tokens or []
        self._suppressed_at_begin = [*self._suppressed, *(settings.begin_suppress_tokens or [])]
        prompt = 2 + 2 * bool(self.languages)
        self.num_steps = min(MAX_TOKENS, max_positions - prompt)

    def prompt(self, language: str | None, *, timestamps: bool) -> list[int]:
        code = [self.languages[language]] if language in self.languages else []
        return [self.start, *code, *self._task, *([] if timestamps else [self._no_timestamps])]

    def choose(self, logits_V: Floats, decoded: list[int], *, timestamps: bool) -> int:
        """Return the likeliest token that may follow the tokens `decoded` so far."""
        allowed_V = logits_V.copy()
        allowed_V[self._suppressed if decoded else self._suppressed_at_begin] = -np.inf
        if timestamps:
            allowed_V[self._no_timestamps] = -np.inf
            self.times.forbid(allowed_V, decoded)
        return int(allowed_V.argmax())


def read_rules(folder: Path, task: Task) -> Rules:
    """Read the two files of settings. Raises InputError, by file, for what no Whisper can be decoded by."""
    config = read_json(folder / CONFIG, _Config, advice=ADVICE)
    path = folder / GENERATION_CONFIG
    settings = read_json(path, CompleteWhisperSettings, advice=ADVICE)
    require_tokens(settings.named_tokens(), config.vocab_size, where=str(path))
    if settings.is_multilingual and not (settings.lang_to_id and task in (settings.task_to_id or {})):
        raise InputError(f"{path}: lang_to_id or task_to_id lacks the languages, or the task {task}; {ADVICE}")
    return Rules(settings, config.max_target_positions, task)
