"""A folder for faster-whisper, written by CTranslate2's own converter.

The folder: model.bin, config.json, vocabulary.json (CTranslate2), tokenizer.json, preprocessor_config.json
(faster-whisper reads the number of mel bins there).
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from eartune.errors import InputError
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai_compat import require_openai_layout
from eartune.files import new_directory
from eartune.weights import network_weights

Quantization: TypeAlias = Literal[
    "float32", "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"
]
PROCESSOR_FILES = ["tokenizer.json", "preprocessor_config.json"]


def write_ctranslate2(
    model: WhisperModel, out: Path, *, quantization: Quantization = "float16", replace: bool = False
) -> None:
    """Write `model`, its adapters merged, to the folder `out`.

    Where the generation settings name no alignment heads (models that began as OpenAI's .pt), word times use all heads
    of the upper half of the decoder, as in openai-whisper. Raises InputError where CTranslate2 is not installed, the
    network differs from OpenAI's, or `out` exists and `replace` is not set.
    """
    require_openai_layout(model.network, model.tokenizer)
    _require_range(model, quantization)
    with tempfile.TemporaryDirectory() as settings, new_directory(out, replace=replace) as aside:
        converter = _converter(model, Path(settings))
        converter.convert(str(aside), quantization=quantization, force=True)


def _require_range(model: WhisperModel, quantization: Quantization) -> None:
    """Raise InputError for a weight that would overflow to infinity in float16."""
    if not quantization.endswith("float16") or quantization.endswith("bfloat16"):
        return
    for name, value in network_weights(model.network):
        if value.numel() and float(value.detach().abs().max()) > torch.finfo(torch.float16).max:
            raise InputError(f"weight {name} has values that float16 cannot hold; write it as float32 or bfloat16")


def _converter(model: WhisperModel, settings: Path) -> Any:
    """Return CTranslate2's converter for a copy of the network in memory instead of one on disk."""
    try:
        from ctranslate2.converters import TransformersConverter  # noqa: PLC0415  an optional extra
    except ImportError:
        raise InputError(
            "writing for faster-whisper needs CTranslate2, which is not installed; pip install 'eartune[ctranslate2]'"
        ) from None

    class LoadedConverter(TransformersConverter):  # type: ignore[misc]
        def load_model(self, *_: Any, **__: Any) -> Any:
            # a copy on the CPU: it quantises float32 weights in place, and reads them by address
            return copy.deepcopy(model.network).cpu()

        def load_tokenizer(self, *_: Any, **__: Any) -> Any:
            return model.tokenizer

    model.network.config.save_pretrained(settings)
    model.save(settings, weights=False)
    return LoadedConverter(str(settings), copy_files=PROCESSOR_FILES)
