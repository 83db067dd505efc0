"""Export formats of Parakeet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eartune.families._nemo.exports import nemo_writers
from eartune.families.parakeet.load import write_nemo
from eartune.families.parakeet.model import ParakeetModel
from eartune.model import SpeechModel


def _write_onnx(model: SpeechModel, folder: Path, quantization: Any) -> float:
    # torch's exporter takes a second to import
    from eartune.families.parakeet.onnx import write_onnx  # noqa: PLC0415

    assert isinstance(model, ParakeetModel)
    return write_onnx(model, folder, quantization=quantization)


WRITERS = nemo_writers(write_nemo=write_nemo, write_onnx=_write_onnx)
