"""Code snippets for model cards that run an export; tests run each of them.

{file} is the export within its folder, {language} the language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eartune.parsing import JsonObject, read_json


@dataclass(frozen=True)
class Usage:
    """A program that runs an export, and its code in a language (python, bash, rust)."""

    program: str
    syntax: str
    text: str


def usages(family: str, format: str, *, exported: Path, file: str, language: str | None) -> list[Usage]:
    """Return the snippets that run an export; `file` is its name in the card."""
    known = _USAGES.get(format, [])
    if format == "onnx":
        known = _onnx(read_json(exported / "config.json", JsonObject))
    elif format == "hf" and family != "whisper":
        known = _HF_NEMO[family]
    elif format == "hf":
        settings = read_json(exported / "generation_config.json", JsonObject)
        # English-only models refuse a language
        language_argument = ', generate_kwargs={"language": "{language}"}' if settings.get("is_multilingual") else ""
        known = [_with(each, language_argument=language_argument) for each in known]
    return [_with(each, file=file, language=language or "en") for each in known]


def _filled(text: str, named: dict[str, str]) -> str:
    for name, value in named.items():
        text = text.replace("{" + name + "}", value)
    return text.strip() + "\n"


_USAGES = {
    "ggml": [
        Usage("whisper.cpp", "bash", "whisper-cli -m {file} -l {language} -f recording.wav --output-srt"),
        Usage(
            "whisper.cpp in Python (pip install pywhispercpp)",
            "python",
            """
from pywhispercpp.model import Model

model = Model("{file}", language="{language}")
for segment in model.transcribe("recording.wav"):
    print(segment.t0, segment.t1, segment.text)
""",
        ),
    ],
    "ctranslate2": [
        Usage(
            "faster-whisper (pip install faster-whisper)",
            "python",
            """
from faster_whisper import WhisperModel

model = WhisperModel("{file}")
segments, info = model.transcribe("recording.wav", language="{language}")
for segment in segments:
    print(segment.start, segment.end, segment.text)
""",
        )
    ],
    "openai": [
        Usage(
            "openai-whisper (pip install openai-whisper; ffmpeg)",
            "python",
            """
import whisper

model = whisper.load_model("{file}")
print(model.transcribe("recording.wav", language="{language}")["text"])
""",
        )
    ],
    "hf": [
        Usage(
            "transformers (pip install transformers; ffmpeg)",
            "python",
            """
from transformers import pipeline

transcribe = pipeline("automatic-speech-recognition", model="{file}")
print(transcribe("recording.wav", return_timestamps=True{language_argument})["text"])
""",
        )
    ],
    "nemo": [
        Usage(
            "NeMo (pip install 'nemo_toolkit[asr]')",
            "python",
            """
from nemo.collections.asr.models import ASRModel

model = ASRModel.restore_from("{file}")
print(model.transcribe(["recording.wav"])[0].text)
""",
        )
    ],
}
_HF_NEMO = {
    "parakeet": [
        Usage(
            "transformers (pip install transformers; ffmpeg)",
            "python",
            """
from transformers import pipeline

transcribe = pipeline("automatic-speech-recognition", model="{file}")
print(transcribe("recording.wav")["text"])
""",
        )
    ],
    "canary": [
        Usage(
            "transformers (pip install transformers soundfile)",
            "python",
            """
import soundfile
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

processor = AutoProcessor.from_pretrained("{file}")
model = AutoModelForSpeechSeq2Seq.from_pretrained("{file}")
samples, rate = soundfile.read("recording.wav")  # 16 kHz, mono
inputs = processor.apply_transcription_request(samples, source_language="{language}", target_language="{language}")
print(processor.batch_decode(model.generate(**inputs), skip_special_tokens=True)[0])
""",
        )
    ],
}
_ONNX_ASR = Usage(
    "onnx-asr (pip install 'onnx-asr[cpu]')",
    "python",
    """
import onnx_asr

model = onnx_asr.load_model("{kind}", "{file}")
print(model.recognize("recording.wav"{language_argument}))
""",
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
    "nemo-conformer-aed": """from_nemo_canary(
    encoder=f"{folder}/encoder.onnx", decoder=f"{folder}/decoder.onnx", tokens=f"{folder}/tokens.txt",
    src_lang="{language}", tgt_lang="{language}",
)""",
    "transducer": """from_transducer(
    encoder=f"{folder}/encoder-model.onnx", decoder=f"{folder}/decoder.onnx", joiner=f"{folder}/joiner.onnx",
    tokens=f"{folder}/tokens.txt", model_type="nemo_transducer",
)""",
}


def _onnx(settings: Mapping[str, Any]) -> list[Usage]:
    """Return the snippets that run an ONNX folder; `settings` is its config.json."""
    kind = settings.get("model_type", "whisper")
    if not str(kind).startswith("nemo-"):
        language_argument = ', language="{language}"'
        return [_with(_ONNX_ASR, kind="whisper", language_argument=language_argument)]
    language_argument = ', language="{language}"' if kind == "nemo-conformer-aed" else ""
    opener = _SHERPA_OPENERS.get(kind, _SHERPA_OPENERS["transducer"])
    sherpa = Usage("sherpa-onnx (pip install sherpa-onnx soundfile)", "python", _SHERPA)
    return [
        _with(_ONNX_ASR, kind=kind, language_argument=language_argument),
        _with(sherpa, opener=opener.replace("{features}", str(settings["features_size"]))),
    ]


def _with(usage: Usage, **named: str) -> Usage:
    return Usage(usage.program, usage.syntax, _filled(usage.text, named))
