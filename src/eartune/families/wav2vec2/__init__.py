"""CTC encoders of transformers: wav2vec 2.0 (XLS-R, MMS), wav2vec2-bert and HuBERT.

load               model folders and hub ids
language_adapters  the language adapters of MMS: found, loaded, written
model              the contract of model.py
network            transformers' networks prepared to train, each clip as if it were alone
features           raw samples normalised, or filter banks (wav2vec2-bert)
labels             transcripts as characters, with findings and remarks
vocabulary         tokens for more characters, in tokenizer and output head
exports            what writes the exports
hf_runtime         Hugging Face folders in transformers
onnx               a folder for ONNX Runtime
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.family import (
    GREEDY_REFUSED,
    NO_LANGUAGE_TOKENS,
    OWN_LENGTH_DEFAULTS,
    OWN_LENGTH_REFUSED,
    Family,
    Format,
    Usage,
)

# the memory of attention grows with the square of the length
MAX_DURATION_S = 40.0
ONNX_TYPE = "wav2vec2-ctc"


def hf_usage(_exported: Path) -> Sequence[Usage]:
    return (
        Usage(
            "transformers (pip install transformers; ffmpeg)",
            "python",
            """
from transformers import pipeline

transcribe = pipeline("automatic-speech-recognition", model="{file}")
print(transcribe("recording.wav", return_timestamps="word"))
""",
        ),
    )


def onnx_usage(_exported: Path) -> Sequence[Usage]:
    return (
        Usage(
            "ONNX Runtime (pip install onnxruntime soundfile)",
            "python",
            """
import numpy, onnxruntime, soundfile

samples, rate = soundfile.read("recording.wav", dtype="float32")  # 16 kHz, mono
assert rate == 16000
tokens = [line.rsplit(" ", 1)[0] for line in open("{file}/vocab.txt", encoding="utf-8")]
session = onnxruntime.InferenceSession("{file}/model.onnx")
inputs = {"input_values": samples[None], "input_lengths": numpy.array([len(samples)])}
best = session.run(["logprobs"], inputs)[0][0].argmax(axis=-1)
kept = [tokens[n] for n, before in zip(best, [-1, *best[:-1]]) if n != before and tokens[n] != "<blk>"]
print("".join(kept).replace("▁", " ").strip())
""",
        ),
    )


FAMILY = Family(
    name="wav2vec2",
    title="Wav2Vec2",
    model_types=("wav2vec2", "wav2vec2-bert", "hubert"),
    words=("wav2vec", "w2v-bert", "hubert", "xls-r", "xlsr", "mms-"),
    hub_owner="facebook",
    example="facebook/mms-1b-all",
    max_duration_s=MAX_DURATION_S,
    defaults={
        **OWN_LENGTH_DEFAULTS,
        # as these models were trained: without masks they overfit within few epochs
        "spec_augment": True,
        "mask_feature_prob": 0.0,
    },
    refused={
        **OWN_LENGTH_REFUSED,
        **GREEDY_REFUSED,
        "language_token": NO_LANGUAGE_TOKENS,
    },
    formats={
        "onnx": Format(
            "a folder for ONNX Runtime, as onnx-asr reads it",
            ("float32", "float16", "int8"),
            "eartune.families.wav2vec2.onnx.runtime:OnnxFolder",
            onnx_usage,
            marks=("model.onnx",),
            config_types=(ONNX_TYPE,),
        ),
        "hf": Format(
            "a Hugging Face folder",
            ("float32",),
            "eartune.families.wav2vec2.hf_runtime:HfFolder",
            hf_usage,
            reads_back=True,
        ),
    },
)
