"""The protocol of a runtime: a program that runs an exported model.

S samples of 16 kHz mono.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import EartuneError, InputError
from eartune.language_tokens import NO_STAND_INS, StandIns
from eartune.languages import language_code
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.limits import WINDOW_S

Task: TypeAlias = Literal["transcribe", "translate"]

# the most tokens of a clip's text: half of the text positions, as in openai-whisper
MAX_TOKENS = 224


class CannotRun(InputError):  # noqa: N818  the fault is not the input's
    """No export of this kind can be run here: its runtime is not installed, or does not support it."""


@dataclass(frozen=True)
class LongTranscript:
    """The segments of a recording, and the number of windows decoded again at a higher temperature.

    `num_fallbacks` is None if the runtime does not report it.
    """

    segments: tuple[Segment, ...]
    num_fallbacks: int | None

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)


class Runtime(Protocol):
    """An exported model, opened; close it, or use it in a `with` block."""

    max_duration_s: float
    """The longest clip it decodes at once."""
    knows_regions: bool
    """Whether a language may be one with its region (en-GB)."""

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        """Decode a clip that fits into one window greedily, without timestamps, at temperature 0 only.

        If `language` is None it is detected. Raises InputError for longer clips and languages the model does not have.
        """

    def close(self) -> None:
        """Release the model."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@runtime_checkable
class SupportsLongForm(Protocol):
    """A runtime that decodes recordings of any length."""

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        """Decode a recording with timestamps and with the runtime's usual temperatures."""


@runtime_checkable
class ExposesLogits(Protocol):
    """A runtime that gives access to its logits."""

    def first_token_logits(self, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
        """Return the logits [V] of a clip's first token of text, no token suppressed, after the usual prompt."""


class RuntimeBase:
    """Base of the runtimes: a context manager, by default for models with a window of 30 s."""

    max_duration_s: float = WINDOW_S
    # whether languages are passed with their region (en-GB)
    knows_regions: bool = False
    # languages whose tokens stand in for those without a token
    stand_ins: StandIns = NO_STAND_INS

    def close(self) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def opening(path: Path, *, package: str, extra: str, program: str) -> Iterator[None]:
    """Turn the exceptions of a runtime that opens a file into one line. Raises InputError."""
    if find_spec(package) is None:
        raise CannotRun(f"{program} is not installed; pip install '{extra}'")
    if not path.exists():
        raise InputError(f"{path}: does not exist; give the path of an export")
    try:
        yield
    except EartuneError:
        raise
    except Exception as error:  # runtimes raise any type for files that they cannot read
        raise InputError(f"{path}: {program} cannot open it: {_reason(error)}") from None


@contextmanager
def decoding(path: Path, *, program: str) -> Iterator[None]:
    """Turn the exceptions of a runtime that decodes with an opened file into one line. Raises EartuneError."""
    try:
        yield
    except EartuneError:
        raise
    except Exception as error:  # files that do not match each other raise any type
        raise EartuneError(
            f"{path}: {program} cannot decode with it: {_reason(error)}; export the model again"
        ) from None


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def padded(waveform_S: Waveform) -> Waveform:
    """Return a clip with silence up to 30 s. Raises InputError for longer ones."""
    num_samples = WINDOW_S * SAMPLE_RATE_HZ
    if len(waveform_S) > num_samples:
        raise InputError(
            f"a clip of {len(waveform_S) / SAMPLE_RATE_HZ:.1f} s exceeds the window of {WINDOW_S} s; decode segments"
        )
    return np.pad(waveform_S, (0, num_samples - len(waveform_S))).astype(np.float32, copy=False)


def supported_language(
    language: str | None, *, known: Iterable[str], multilingual: bool, stand_ins: StandIns = NO_STAND_INS
) -> str | None:
    """Return a language as the code of its token. Raises InputError for one that the model does not have."""
    code = None if language is None else language_code(language) or language
    names = set(known)
    if multilingual and code is not None and not stand_ins.has_token(code, names):
        raise InputError(
            f"language {language!r}: the model has no token for it; choose one to stand in: --language-token CODE"
        )
    if multilingual:
        return stand_ins.token_code(code, names)
    if code not in (None, "en"):
        raise InputError(f"language {language!r}: the model is English-only")
    return "en"


def supported_task(task: Task, *, multilingual: bool) -> Task:
    """Return the task. Raises InputError for translation with a model that cannot translate."""
    if task == "translate" and not multilingual:
        raise InputError("task 'translate': the model is English-only; leave it at transcribe")
    return task


def count_fallbacks(segments: Iterable[tuple[Any, float]]) -> int:
    """Count the windows, given by their position in the recording, that were not decoded at temperature 0."""
    return len({window for window, temperature in segments if temperature > 0})
