"""Export formats of the families of NeMo's models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eartune.export.exporter import Exporter, FamilyExports, save_folder
from eartune.model import SpeechModel
from eartune.nemo.certify import certify


def nemo_exports(
    *, write_nemo: Callable[[SpeechModel, Path, Path], None], write_onnx: Callable[[SpeechModel, Path, Any], float]
) -> FamilyExports:
    """Return the formats, given what writes a family's .nemo and ONNX files."""

    def nemo(model: SpeechModel, out: Path, _: str, original: Path | None) -> float | None:
        assert original is not None
        write_nemo(model, original, out)
        return certify(out, model)

    def onnx(model: SpeechModel, out: Path, quantization: str, _: Path | None) -> float:
        return write_onnx(model, out, quantization)

    return FamilyExports(
        {
            "nemo": Exporter(nemo, ("float32",), "model.nemo", reads_back=True, needs_original=True),
            "onnx": Exporter(onnx, ("float32", "float16", "int8")),
            "hf": Exporter(save_folder, ("float32",), reads_back=True),
        }
    )
