"""Code that runs exports of Whisper, for model cards; tests run each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.family import Usage
from eartune.parsing import JsonObject, read_json


def ggml(_exported: Path) -> Sequence[Usage]:
    return (
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
    )


def ctranslate2(_exported: Path) -> Sequence[Usage]:
    return (
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
        ),
    )


def openai(_exported: Path) -> Sequence[Usage]:
    return (
        Usage(
            "openai-whisper (pip install openai-whisper; ffmpeg)",
            "python",
            """
import whisper

model = whisper.load_model("{file}")
print(model.transcribe("recording.wav", language="{language}")["text"])
""",
        ),
    )


def onnx(_exported: Path) -> Sequence[Usage]:
    return (
        Usage(
            "onnx-asr (pip install 'onnx-asr[cpu]')",
            "python",
            """
import onnx_asr

model = onnx_asr.load_model("whisper", "{file}")
print(model.recognize("recording.wav", language="{language}"))
""",
        ),
    )


def hf(exported: Path) -> Sequence[Usage]:
    settings = read_json(exported / "generation_config.json", JsonObject)
    # English-only models refuse a language
    language = ', generate_kwargs={"language": "{language}"}' if settings.get("is_multilingual") else ""
    return (
        Usage(
            "transformers (pip install transformers; ffmpeg)",
            "python",
            f"""
from transformers import pipeline

transcribe = pipeline("automatic-speech-recognition", model="{{file}}")
print(transcribe("recording.wav", return_timestamps=True{language})["text"])
""",
        ),
    )
