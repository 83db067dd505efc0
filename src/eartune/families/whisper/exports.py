"""Export formats of Whisper."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from eartune.export.exporter import Exporter, FamilyExports, save_folder
from eartune.families.whisper.ctranslate2 import Quantization, write_ctranslate2
from eartune.families.whisper.first_logits import first_logits
from eartune.families.whisper.ggml import write_ggml
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai_export import write_openai
from eartune.model import SpeechModel, Waveform


def _ggml(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> None:
    write_ggml(_whisper(model), out, kind=quantization)


def _ctranslate2(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> None:
    write_ctranslate2(_whisper(model), out, quantization=quantization)


def _openai(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> None:
    write_openai(_whisper(model), out, dtype=quantization)


def _onnx(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> float | None:
    # torch's exporter takes a second to import
    from eartune.families.whisper.onnx import write_onnx  # noqa: PLC0415

    return write_onnx(_whisper(model), out, quantization=quantization)


def _first_logits(model: SpeechModel, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
    return first_logits(_whisper(model), waveform_S, language)


def _language_code(model: SpeechModel, language: str | None) -> str | None:
    return _whisper(model).labeler.token_code(language)


def _whisper(model: SpeechModel) -> WhisperModel:
    assert isinstance(model, WhisperModel)
    return model


# float16 first: it is what most people run
_CTRANSLATE2_KINDS = tuple(sorted(get_args(Quantization), key=lambda kind: kind != "float16"))

EXPORTS = FamilyExports(
    {
        "ggml": Exporter(
            _ggml, ("f16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"), "ggml-model-{quantization}.bin"
        ),
        "ctranslate2": Exporter(_ctranslate2, _CTRANSLATE2_KINDS),
        "onnx": Exporter(_onnx, ("float32", "float16", "int8")),
        "openai": Exporter(_openai, ("float16", "float32"), "model-{quantization}.pt"),
        "hf": Exporter(save_folder, ("float32",), reads_back=True),
    },
    first_logits=_first_logits,
    language_code=_language_code,
)
