"""ggml files in whisper.cpp, in a process of its own, since its C++ aborts on some broken files."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from eartune.errors import InputError
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.registry import GGML
from eartune.runtimes.runtime import (
    CannotRun,
    LongTranscript,
    RuntimeBase,
    Task,
    opening,
    padded,
    supported_language,
    supported_task,
)
from eartune.runtimes.worker import Worker

# run, never imported: an import would load the C++ here
WORKER = Path(__file__).with_name("whisper_cpp_worker.py")

NUM_SIZES = 12
# value of the last of them, the type of the weights
ALL_FLOAT32 = 0

# words in error messages of the log, from C++ and Python
_ERROR_WORDS = ("ERROR", "invalid", "wrong", "unknown tensor", "GGML_ASSERT", "what():", "Error")


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(4 * NUM_SIZES)
    if not header.startswith(GGML) or len(header) < 4 * NUM_SIZES:
        raise ValueError("it does not begin as a ggml file")
    if struct.unpack(f"<{NUM_SIZES}i", header)[-1] == ALL_FLOAT32:
        raise CannotRun(
            f"{path}: whisper.cpp on a CPU cannot run f32 files, as its convolutions take float16 only "
            "(ggml-org/whisper.cpp#2557); write f16"
        )


class WhisperCpp(RuntimeBase):
    """A ggml file opened in whisper.cpp, on the CPU: its wheel supports no other device.

    Its texts have at most 220 tokens. Raises EartuneError if whisper.cpp fails or dies after it was opened.
    """

    def __init__(self, path: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        if device != "cpu":
            raise InputError(f"device {device!r}: the wheel of whisper.cpp supports the CPU only; use cpu")
        with opening(path, package="_pywhispercpp", extra="eartune[whisper-cpp]", program="whisper.cpp"):
            _check_header(path)
            arguments = (str(path), str(num_threads), task)
            self._worker = Worker(WORKER, arguments, path=path, program="whisper.cpp", find_error=_find_error)
        self._multilingual, self._languages = self._worker.facts["multilingual"], self._worker.facts["languages"]
        try:
            supported_task(task, multilingual=self._multilingual)
        except InputError:
            self.close()
            raise

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        return str(self._decode("text", padded(waveform_S), language)["text"])

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        response = self._decode("segments", waveform_S, language)
        return LongTranscript(tuple(Segment(*each) for each in response["segments"]), response["num_fallbacks"])

    def first_token_logits(self, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
        return np.array(self._decode("logits", padded(waveform_S), language)["logits"], dtype=np.float32)

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def _decode(
        self, wanted: Literal["text", "segments", "logits"], waveform_S: Waveform, language: str | None
    ) -> dict[str, Any]:
        code = supported_language(
            language, known=self._languages, multilingual=self._multilingual, stand_ins=self.stand_ins
        )
        # auto: whisper.cpp detects the language
        return self._worker.decode(waveform_S, {"wanted": wanted, "language": code or "auto"})


def _find_error(lines: Sequence[str]) -> str:
    """Return the first error message of whisper.cpp's log, or ''."""
    return next((line for line in lines if any(word in line for word in _ERROR_WORDS)), "")
