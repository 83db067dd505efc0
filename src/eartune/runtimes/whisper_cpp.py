"""whisper.cpp running a ggml file, in a process of its own: its C++ ends the whole process on some broken files."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from eartune.errors import EartuneError, InputError
from eartune.speech_model import Segment, Waveform

# run, never imported: that would load the C++ here
WORKER = Path(__file__).with_name("whisper_cpp_worker.py")
MAGIC = 0x67676D6C
# whisper.cpp takes a model with fewer tokens for an English-only one
FEWEST_MULTILINGUAL_TOKENS = 51865
MOST_THREADS = 4

# words in the log of C++ and Python that stand with a reason
_COMPLAINTS = ("ERROR", "invalid", "wrong", "unknown tensor", "GGML_ASSERT", "what():", "Error")


def open_runtime(path: Path, *, num_threads: int | None = None) -> WhisperCpp:
    """Load a ggml file into whisper.cpp; `num_threads` is by default that of the processors, four at most.

    Raises InputError where the file is none or pywhispercpp is missing, and EartuneError where whisper.cpp refuses it.
    """
    num_vocabulary = _num_vocabulary(path)
    if importlib.util.find_spec("_pywhispercpp") is None:
        raise InputError(
            f"{path}: running it takes whisper.cpp, which is not installed: pip install eartune[whisper-cpp]"
        )
    threads = num_threads or min(MOST_THREADS, os.cpu_count() or 1)
    return WhisperCpp(path, multilingual=num_vocabulary >= FEWEST_MULTILINGUAL_TOKENS, num_threads=threads)


def _num_vocabulary(path: Path) -> int:
    try:
        with path.open("rb") as file:
            header = file.read(8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(header) < 8 or struct.unpack("<i", header[:4])[0] != MAGIC:
        raise InputError(f"{path}: is no ggml file for whisper.cpp: it does not begin as one")
    return int(struct.unpack("<i", header[4:])[0])


class WhisperCpp:
    """A ggml file loaded into whisper.cpp; close it, or use it in a `with` block."""

    def __init__(self, path: Path, *, multilingual: bool, num_threads: int) -> None:
        self.path = path
        self.multilingual = multilingual
        # a file, not a pipe: nobody reads while a clip is decoded
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        # -P: modules beside the worker are not to be found by their bare names
        command = [sys.executable, "-P", str(WORKER), str(path), str(num_threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=-1
        )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def transcribe(
        self, waveforms: Sequence[Waveform], language: str | None, *, timestamps: bool
    ) -> list[list[Segment]]:
        """Decode 16 kHz recordings greedily, each on its own; without a language it is detected.

        Without `timestamps` there is one segment for each 30 s. Raises EartuneError where whisper.cpp fails or dies.
        """
        return [self._transcribe(waveform, language, timestamps=timestamps) for waveform in waveforms]

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                # what was not yet sent to a process that has died
                continue
        self._log.close()

    def __enter__(self) -> WhisperCpp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _transcribe(self, waveform: Waveform, language: str | None, *, timestamps: bool) -> list[Segment]:
        samples = np.ascontiguousarray(waveform, dtype="<f4")
        # the loader's own word for detection; a model of English only has no tokens of languages
        spoken = (language or "auto") if self.multilingual else "en"
        request = {"samples": samples.size, "language": spoken, "timestamps": timestamps}
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(request).encode() + b"\n" + samples.tobytes())
            pipe.flush()
        except OSError:
            raise self._death() from None
        return [Segment(start, end, text) for start, end, text in self._answer()["segments"]]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EartuneError(f"{self.path}: whisper.cpp {answer['error']}{self._last_words()}")
        return answer

    def _death(self) -> EartuneError:
        code = self._process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return EartuneError(f"{self.path}: whisper.cpp ended {how}; the file is broken{self._last_words()}")

    def _last_words(self) -> str:
        """Return what whisper.cpp first complained of, where it did."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        complaints = [line for line in lines if any(word in line for word in _COMPLAINTS)]
        return f" ({complaints[0][:200]})" if complaints else ""
