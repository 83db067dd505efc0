"""NVIDIA's .nemo files in NeMo itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch

from eartune.errors import InputError
from eartune.languages import LANGUAGE_TAG, prompt_name
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.limits import NEMO_WINDOW_S
from eartune.runtimes.runtime import LongTranscript, RuntimeBase, Task, opening
from eartune.runtimes.torch_threads import torch_threads

ReadConfig: TypeAlias = Callable[[Path], Mapping[str, Any]]

# NeMo instantiates any class that a configuration names
TRUSTED = "nemo.collections."


class NemoTranscriber(RuntimeBase):
    """The .nemo file of a model that only transcribes, decoded as configured in it; the language is ignored.

    A model with language prompts gets the language of the clip, or detects it, and its tags are removed.
    """

    max_duration_s = NEMO_WINDOW_S

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cpu",
        num_threads: int = 1,
        task: Task = "transcribe",
    ) -> None:
        if task != "transcribe":
            raise InputError(f"task {task!r}: the model only transcribes; leave it at transcribe")
        self._model, self._num_threads = _restore(path, device), num_threads
        self._prompts = dict(self._model.cfg.model_defaults.prompt_dictionary) if self._has_prompts() else {}
        self.knows_regions = bool(self._prompts)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        return self._text(_first(self._transcribe_clip(waveform_S, language, timestamps=False)).text)

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        """Decode a recording in one piece, as NeMo does: attention memory grows with the square of the length."""
        found = _first(self._transcribe_clip(waveform_S, language, timestamps=True)).timestamp["segment"]
        segments = (Segment(round(e["start"], 2), round(e["end"], 2), self._text(e["segment"])) for e in found)
        # NeMo has no fallback temperatures
        return LongTranscript(tuple(segments), 0)

    def _has_prompts(self) -> bool:
        return hasattr(self._model, "prompt_kernel")

    def _text(self, text: object) -> str:
        return (LANGUAGE_TAG.sub("", str(text)) if self._prompts else str(text)).strip()

    def _transcribe_clip(self, waveform_S: Waveform, language: str | None, *, timestamps: bool) -> Any:
        prompt = {"target_lang": prompt_name(language, self._prompts)} if self._prompts else {}
        with torch_threads(self._num_threads):
            return self._model.transcribe(
                [waveform_S], batch_size=1, return_hypotheses=True, timestamps=timestamps, verbose=False, **prompt
            )


class NemoMultiTask(RuntimeBase):
    """The .nemo file of a model with prompts, decoded as configured in it; it requires the language."""

    max_duration_s = NEMO_WINDOW_S

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cpu",
        num_threads: int = 1,
        task: Task = "transcribe",
    ) -> None:
        self._model, self._num_threads, self._task = _restore(path, device), num_threads, task
        self._pieces = set(self._model.tokenizer.vocab)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        if language is None:
            raise InputError("no language is named, and the model detects none; add a language to the clip")
        if f"<|{language}|>" not in self._pieces:
            raise InputError(f"language {language!r}: the model has no token for it")
        target = "en" if self._task == "translate" else language
        with torch_threads(self._num_threads):
            found = self._model.transcribe(
                [waveform_S],
                batch_size=1,
                return_hypotheses=True,
                verbose=False,
                source_lang=language,
                target_lang=target,
            )
        return str(_first(found).text).strip()


def open_nemo(
    path: Path, *, read_config: ReadConfig, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe"
) -> NemoTranscriber | NemoMultiTask:
    """Open a .nemo file in NeMo. `read_config` reads its configuration without NeMo, and raises for other files.

    Raises InputError for configurations that name classes from outside NeMo's collections.
    """
    config = read_config(path) if path.exists() else {}
    foreign = sorted({name for name in _classes(config) if not name.startswith(TRUSTED)})
    if foreign:
        raise InputError(
            f"{path}: its configuration names {foreign[0]!r:.80}, which is not a class of NeMo's collections, and NeMo "
            "would run it; do not use this file"
        )
    opener = NemoMultiTask if str(config.get("target", "")).endswith("EncDecMultiTaskModel") else NemoTranscriber
    return opener(path, device=device, num_threads=num_threads, task=task)


def _classes(node: object) -> Iterator[str]:
    """Yield the names of classes anywhere in a configuration."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("_target_", "target", "cls") and isinstance(value, str):
                yield value
            yield from _classes(value)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _classes(each)


def _restore(path: Path, device: str) -> Any:
    with opening(path, package="nemo", extra="nemo_toolkit[asr]", program="nemo_toolkit"):
        # seconds to import
        from nemo.collections.asr.models import ASRModel  # noqa: PLC0415  an optional package
        from nemo.utils import logging  # noqa: PLC0415

        logging.setLevel(logging.ERROR)
        return ASRModel.restore_from(str(path), map_location=torch.device(device)).eval()


def _first(found: Any) -> Any:
    """Return the hypothesis of the only clip; hybrid models of older versions return a pair of lists."""
    found = found[0] if isinstance(found, tuple) else found
    return found[0]
