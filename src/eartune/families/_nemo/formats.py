"""What the declarations of NVIDIA's families share: their single file, export formats and presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eartune.families._nemo import usage
from eartune.family import NEMO, NO_FEATURE_ENCODER, OWN_LENGTH_REFUSED, Format, SingleFile, Usage
from eartune.runtimes.limits import NEMO_WINDOW_S

# the memory of attention grows with the square of the length
MAX_DURATION_S = NEMO_WINDOW_S
# a FastConformer does not pad utterances to 30 s, so the batches of the presets need no gradient checkpointing
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "4070ti": {"gradient_checkpointing": False},
    "a6000-fast": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05},
    "a6000-max": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05},
}
REFUSED: Mapping[str, str] = {
    **OWN_LENGTH_REFUSED,
    "freeze_feature_encoder": NO_FEATURE_ENCODER,
    "new_vocabulary": "the tokenizer of a {title} is kept, as its decoder was trained with it",
    "language_token": "is for models with language tokens of other languages to borrow, and {title} has none",
}


def nemo_file(*kinds: str) -> SingleFile:
    """Return a .nemo file that holds one of these kinds of model."""
    return SingleFile(NEMO, ".nemo", "a .nemo file", contents=kinds)


def nemo_formats(*, hf_runtime: str, hf_usage: Callable[[Path], Sequence[Usage]]) -> dict[str, Format]:
    """Return the export formats, given what opens a family's Hugging Face folders, and code that runs them."""
    return {
        "nemo": Format(
            "a .nemo file for NVIDIA's NeMo",
            ("float32",),
            "eartune.runtimes.nemo_toolkit:open_nemo",
            usage.nemo,
            file_name="model.nemo",
            reads_back=True,
            needs_original=True,
        ),
        "onnx": Format(
            "a folder for ONNX Runtime, as onnx-asr and sherpa-onnx read it",
            ("float32", "float16", "int8"),
            "eartune.runtimes.onnx_asr:OnnxAsr",
            usage.onnx,
            marks=("model.onnx", "encoder-model.onnx"),
        ),
        "hf": Format("a Hugging Face folder", ("float32",), hf_runtime, hf_usage, reads_back=True),
    }
