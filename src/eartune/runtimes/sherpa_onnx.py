"""ONNX folders of NeMo's models in sherpa-onnx, in a process of its own, since its C++ aborts on broken files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from eartune.errors import InputError
from eartune.model import Waveform
from eartune.runtimes.limits import NEMO_WINDOW_S
from eartune.runtimes.nemo_onnx import open_onnx_folder
from eartune.runtimes.runtime import CannotRun, LongTranscript, RuntimeBase
from eartune.runtimes.segments import TimedTokens, long_transcript
from eartune.runtimes.worker import Worker

# run, never imported: an import would load the C++ here
WORKER = Path(__file__).with_name("sherpa_onnx_worker.py")
PROGRAM = "sherpa-onnx"
FILES = {
    "nemo-conformer-ctc": ("model.onnx", "tokens.txt"),
    "nemo-conformer-rnnt": ("encoder-model.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"),
    "nemo-conformer-tdt": ("encoder-model.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"),
    "nemo-conformer-aed": ("encoder.onnx", "decoder.onnx", "tokens.txt"),
}


class SherpaOnnx(RuntimeBase):
    """A folder opened in sherpa-onnx, on a CPU with `num_threads`, or on a CUDA device.

    `task` is transcribe, or translate: a model with languages then translates into English. With a CTC model
    sherpa-onnx drops the last encoder position (80 ms) if a clip ends within it.
    """

    max_duration_s = NEMO_WINDOW_S

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: str = "transcribe") -> None:
        self._folder, self._task = open_onnx_folder(folder, task=task), task
        self._folder.require(FILES[self._folder.kind], program=PROGRAM)
        if find_spec("sherpa_onnx") is None:
            raise CannotRun(f"{PROGRAM} is not installed; pip install 'eartune[onnx]'")
        # sherpa-onnx would silently use the CPU
        if device != "cpu" and "cuda" not in version("sherpa-onnx"):
            raise InputError(f"device {device!r}: this sherpa-onnx has no CUDA; install its CUDA wheel, or use cpu")
        settings = {
            "kind": self._folder.kind,
            "files": [str(folder / name) for name in FILES[self._folder.kind]],
            "features_size": self._folder.features_size,
            "num_threads": num_threads,
            "provider": "cpu" if device == "cpu" else "cuda",
        }
        self._worker = Worker(WORKER, [json.dumps(settings)], path=folder, program=PROGRAM, find_error=_find_error)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        """Decode a clip of any length greedily. A model with languages requires it; the others ignore it."""
        return self._transcribe_clip(waveform_S, language).text

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        return long_transcript(
            lambda clip_S: self._transcribe_clip(clip_S, language), waveform_S, position_s=self._folder.position_s
        )

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def _transcribe_clip(self, waveform_S: Waveform, language: str | None) -> TimedTokens:
        self._folder.require_long_enough(waveform_S)
        languages = self._folder.languages(language, task=self._task)
        found = self._worker.decode(waveform_S, {"languages": languages})
        starts_s = None if languages else found["timestamps"]
        return TimedTokens(found["text"].strip(), found["tokens"], starts_s, found["durations"] or None)


def _find_error(lines: Sequence[str]) -> str:
    """Return the last message of the log: a line of C++ without its position in the source, or Python's error."""
    messages = [line for line in (re.sub(r"^\S+\.(cc|h):\S+:\d+ *", "", line) for line in lines) if line]
    errors = [number for number, line in enumerate(messages) if re.match(r"[\w.]+(Error|Exception): ", line)]
    return " ".join(messages[errors[-1] if errors else -1 :])
