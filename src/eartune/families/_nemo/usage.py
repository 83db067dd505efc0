"""Code that runs exports of NVIDIA's models, for model cards; tests run each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import TypedDict

from eartune.family import Usage
from eartune.parsing import read_json

AED = "nemo-conformer-aed"


class _Config(TypedDict):
    model_type: str
    features_size: int


def nemo(_exported: Path) -> Sequence[Usage]:
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


def onnx(exported: Path) -> Sequence[Usage]:
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
