"""NVIDIA Canary: a FastConformer encoder and a text decoder with a prompt for languages and task.

load        .nemo files, model folders and hub ids
model       the contract of model.py
weights     .nemo archives <-> networks
network     preparation of transformers' networks to train as in NeMo
prompt      a manifest row -> the prompt
times       texts with the times of their words
labels      transcripts as decoder inputs and targets
loss        cross-entropy over the targets
decode      features -> tokens
onnx        folders for onnx-asr and sherpa-onnx
hf_runtime  Hugging Face folders in transformers
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.families._nemo.formats import MAX_DURATION_S, PRESETS, REFUSED, nemo_file, nemo_formats
from eartune.family import OWN_LENGTH_DEFAULTS, Family, Usage


def hf_usage(_exported: Path) -> Sequence[Usage]:
    return (
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
        ),
    )


FAMILY = Family(
    name="canary",
    title="Canary",
    model_types=("canary",),
    words=("canary",),
    hub_owner="nvidia",
    example="nvidia/canary-1b-v2",
    max_duration_s=MAX_DURATION_S,
    single_file=nemo_file("canary"),
    tasks=("transcribe", "translate"),
    defaults=OWN_LENGTH_DEFAULTS,
    refused={
        **REFUSED,
        "extend_vocabulary": "the vocabulary of a {title} cannot be extended yet: use a model trained on the language",
    },
    presets=PRESETS,
    formats=nemo_formats(hf_runtime="eartune.families.canary.hf_runtime:TransformersCanary", hf_usage=hf_usage),
    has_language_pairs=True,
)
