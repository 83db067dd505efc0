"""ONNX folders of NeMo's models in onnx-asr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eartune.errors import InputError
from eartune.model import Waveform
from eartune.runtimes.limits import NEMO_WINDOW_S
from eartune.runtimes.nemo_onnx import open_onnx_folder
from eartune.runtimes.runtime import LongTranscript, RuntimeBase, decoding, opening
from eartune.runtimes.segments import TimedTokens, long_transcript

PROGRAM = "onnx-asr"


class OnnxAsr(RuntimeBase):
    """A folder opened in onnx-asr, on a CPU with `num_threads`, or on a CUDA device.

    `task` is transcribe, or translate: a model with languages then translates into English.
    """

    max_duration_s = NEMO_WINDOW_S

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: str = "transcribe") -> None:
        self._folder, self._task = open_onnx_folder(folder, task=task), task
        with opening(folder, package="onnx_asr", extra="eartune[onnx]", program=PROGRAM):
            import onnx_asr  # noqa: PLC0415  an optional extra
            import onnxruntime  # noqa: PLC0415

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = num_threads
            # its warnings are for authors of graphs
            options.log_severity_level = 3
            model: Any = onnx_asr.load_model(
                self._folder.kind, folder, sess_options=options, providers=providers(device)
            )
            self._model = model.with_timestamps()

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        """Decode a clip of any length greedily. A model with languages requires it; the others ignore it."""
        return self._transcribe_clip(waveform_S, language).text

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        return long_transcript(
            lambda clip_S: self._transcribe_clip(clip_S, language), waveform_S, position_s=self._folder.position_s
        )

    def _transcribe_clip(self, waveform_S: Waveform, language: str | None) -> TimedTokens:
        self._folder.require_long_enough(waveform_S)
        languages = self._folder.languages(language, task=self._task)
        options = dict(zip(("language", "target_language"), languages, strict=True)) if languages else {}
        with decoding(self._folder.path, program=PROGRAM):
            found = self._model.recognize(waveform_S, sample_rate=16_000, **options)
        return TimedTokens(found.text.strip(), found.tokens, found.timestamps)


def providers(device: str) -> list[str]:
    """Return the execution providers of onnxruntime for a device. Raises InputError where it has none for it."""
    import onnxruntime  # noqa: PLC0415  an optional extra

    if device == "cpu":
        return ["CPUExecutionProvider"]
    # onnxruntime would silently use the CPU
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise InputError(f"device {device!r}: this onnxruntime has no CUDA; pip install onnxruntime-gpu, or use cpu")
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]
