"""What the declarations of NVIDIA's families share: single file, export formats with code that runs them, presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from eartune.family import NEMO, NO_FEATURE_ENCODER, NO_LANGUAGE_TOKENS, OWN_LENGTH_REFUSED, Format, SingleFile, Usage
from eartune.parsing import read_json
from eartune.runtimes.limits import NEMO_WINDOW_S

# onnx-asr's name of a Canary
AED = "nemo-conformer-aed"
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
    "language_token": NO_LANGUAGE_TOKENS,
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
            _nemo_usage,
            file_name="model.nemo",
            reads_back=True,
            needs_original=True,
        ),
        "onnx": Format(
            "a folder for ONNX Runtime, as onnx-asr and sherpa-onnx read it",
            ("float32", "float16", "int8"),
            "eartune.runtimes.onnx_asr:OnnxAsr",
            _onnx_usage,
            marks=("model.onnx", "encoder-model.onnx"),
        ),
        "hf": Format("a Hugging Face folder", ("float32",), hf_runtime, hf_usage, reads_back=True),
    }


class _Config(TypedDict):
    model_type: str
    features_size: int


def _nemo_usage(_exported: Path) -> Sequence[Usage]:
    return (
        Usage(
            "NeMo (pip install 'nemo_toolkit[asr]')",
            "python",
            """
from nemo.collections.asr.models import ASRModel

model = ASRModel.restore_from("{file}")
print(model.transcribe(["recording.wav"])[0].text)
""",
        ),
    )


def _onnx_usage(exported: Path) -> Sequence[Usage]:
    config = read_json(exported / "config.json", _Config)
    kind = config["model_type"]
    language = ', language="{language}"' if kind == AED else ""
    opener = _SHERPA_OPENERS.get(kind, _SHERPA_TRANSDUCER).replace("{features}", str(config["features_size"]))
    return (
        Usage(
            "onnx-asr (pip install 'onnx-asr[cpu]')",
            "python",
            f"""
import onnx_asr

model = onnx_asr.load_model("{kind}", "{{file}}")
print(model.recognize("recording.wav"{language}))
""",
        ),
        Usage("sherpa-onnx (pip install sherpa-onnx soundfile)", "python", _SHERPA.replace("{opener}", opener)),
    )


_SHERPA = """
import sherpa_onnx
import soundfile

folder = "{file}"
recognizer = sherpa_onnx.OfflineRecognizer.{opener}
samples, rate = soundfile.read("recording.wav", dtype="float32")
stream = recognizer.create_stream()
stream.accept_waveform(rate, samples)
recognizer.decode_stream(stream)
print(stream.result.text)
"""
_SHERPA_OPENERS = {
    "nemo-conformer-ctc": """from_nemo_ctc(
    model=f"{folder}/model.onnx", tokens=f"{folder}/tokens.txt", feature_dim={features}
)""",
    AED: """from_nemo_canary(
    encoder=f"{folder}/encoder.onnx", decoder=f"{folder}/decoder.onnx", tokens=f"{folder}/tokens.txt",
    src_lang="{language}", tgt_lang="{language}",
)""",
}
_SHERPA_TRANSDUCER = """from_transducer(
    encoder=f"{folder}/encoder-model.onnx", decoder=f"{folder}/decoder.onnx", joiner=f"{folder}/joiner.onnx",
    tokens=f"{folder}/tokens.txt", model_type="nemo_transducer",
)"""
