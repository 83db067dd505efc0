"""NVIDIA Parakeet: CTC, RNN-T, TDT, and transducers with an auxiliary CTC head.

load        .nemo files, model folders and hub ids
model       the contract of model.py
weights     .nemo archives <-> networks
network     transducers with a CTC head, and preparation of transformers' networks to train as in NeMo
labels      transcripts as tokens, with findings and remarks
heads       limits on the tokens that CTC, RNN-T and TDT can align
loss        CTC, and transducers (transducer/) with their auxiliary CTC head
greedy      encoder states -> tokens with their frames
segments    tokens with their frames -> segments
onnx        folders for onnx-asr and sherpa-onnx
hf_runtime  Hugging Face folders in transformers
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.families._nemo.formats import MAX_DURATION_S, PRESETS, REFUSED, nemo_file, nemo_formats
from eartune.family import GREEDY_REFUSED, OWN_LENGTH_DEFAULTS, AppExport, Family, Usage


def hf_usage(_exported: Path) -> Sequence[Usage]:
    return (
        Usage(
            "transformers (pip install transformers; ffmpeg)",
            "python",
            """
from transformers import pipeline

transcribe = pipeline("automatic-speech-recognition", model="{file}")
print(transcribe("recording.wav")["text"])
""",
        ),
    )


_MIMIR_LINE = """MODEL_PATH = os.path.expanduser("~/Library/Application Support/mimir/models/{file}")
model = nemo_asr.models.ASRModel.restore_from(MODEL_PATH)"""

FAMILY = Family(
    name="parakeet",
    title="Parakeet",
    model_types=("parakeet_ctc", "parakeet_rnnt", "parakeet_tdt", "nemotron_asr_streaming", "nemotron3_5_asr"),
    words=("parakeet", "nemotron"),
    hub_owner="nvidia",
    example="nvidia/parakeet-tdt-0.6b-v3",
    max_duration_s=MAX_DURATION_S,
    single_file=nemo_file("ctc", "transducer", "hybrid", "prompted"),
    defaults=OWN_LENGTH_DEFAULTS,
    refused={**REFUSED, **GREEDY_REFUSED},
    presets=PRESETS,
    formats=nemo_formats(hf_runtime="eartune.families.parakeet.hf_runtime:open_folder", hf_usage=hf_usage),
    apps={"mimir": AppExport("nemo", "parakeet_{language}.nemo", "scripts/parakeet_server.py", "python", _MIMIR_LINE)},
)
