"""Export formats of CTC encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eartune.export.exporter import Writer, save_folder
from eartune.model import SpeechModel


def _write_onnx(model: SpeechModel, folder: Path, quantization: Any, _original: Path | None) -> float:
    # torch's exporter takes a second to import
    from eartune.families.wav2vec2.onnx import write_onnx  # noqa: PLC0415

    return write_onnx(model, folder, quantization=quantization)


WRITERS: dict[str, Writer] = {"onnx": _write_onnx, "hf": save_folder}
