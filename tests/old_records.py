"""Records as they lay on disk before they were typed, and every change of one key that a damaged file may have.

The records were written by the code of that time, with the options cut to a few.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from eartune.errors import InputError

Json = dict[str, Any]

BASE: Json = {
    "spec": "/home/anna/tiny-random.pt",
    "kind": "openai",
    "path": "/home/anna/tiny-random.pt",
    "sha256": "e783b77244108a8348694b993c5cdbdcb9ffac3141838947fd6f12bf1ebd018f",
    "revision": None,
}
SPEECH: Json = {
    "manifests": ["/home/anna/speech.jsonl"],
    "utterances": 4,
    "skipped": 0,
    "seconds": 13.427,
    "sha256": "82301f0c94c3ed204debdc4872ae0c575936dbccc1140704dd212db10fef1d40",
}
CONFIG: Json = {
    "family": "whisper",
    "train": ["/home/anna/speech.jsonl"],
    "val": ["/home/anna/speech.jsonl"],
    "language": "en",
    "learning_rate": 0.0005,
    "load_best_model_at_end": True,
    "lora_alpha": 32.0,
    "target_modules": None,
}
METRICS: Json = {"eval_loss": 10.831381661551339, "eval_wer": 1.0, "eval_cer": 0.819047619047619, "epoch": 1.0}
VERSIONS: Json = {"eartune": "0.1.0", "python": "3.11.7", "torch": "2.13.0+cpu", "peft": "0.21.2"}

RUN_ORIGIN: Json = {
    "format": 1,
    "kind": "run",
    "family": "whisper",
    "method": "lora",
    "task": "transcribe",
    "language": "en",
    "language_token": None,
    "base_model": BASE,
    "added_characters": "",
    "data": {"train": SPEECH, "val": SPEECH},
    "config": CONFIG,
    "provenance": {"family": "base model or default", "train": "command line", "learning_rate": "default for lora"},
    "decides": {"family": "whisper", "learning_rate": 0.0005, "r": 4, "target_modules": None, "use_dora": False},
    "versions": VERSIONS,
}
ADAPTER_ORIGIN: Json = {
    "format": 1,
    "kind": "adapter",
    "family": "whisper",
    "task": "transcribe",
    "language": "en",
    "language_token": None,
    "method": "lora",
    "base_model": BASE,
    "added_characters": "",
    "data": {"train": SPEECH, "val": SPEECH},
    "config": CONFIG,
    "parent": "/home/anna/lora",
    "step": 2,
    "metrics": METRICS,
    "versions": VERSIONS,
}
MERGED_ORIGIN: Json = {
    "format": 1,
    "kind": "model",
    "family": "whisper",
    "task": "transcribe",
    "language": "en",
    "language_token": None,
    "base_model": BASE,
    "parent": "/home/anna/lora/best",
    "merge_difference": 1.1920928955078125e-06,
    "method": "lora",
    "data": {"train": SPEECH, "val": SPEECH},
    "config": CONFIG,
    "metrics": METRICS,
    "versions": VERSIONS,
}
ORIGINS = {"run": RUN_ORIGIN, "adapter": ADAPTER_ORIGIN, "model": MERGED_ORIGIN}

SUMMARY: Json = {
    "path": None,
    "steps": 2,
    "epochs": 1.0,
    "train_seconds": 2.8451420460005465,
    "audio_seconds": 13.426937500000001,
    "best": {"step": 2, "eval_wer": 1.0, "eval_cer": 0.819047619047619, "eval_loss": 10.831381661551339},
    "validations": [{"step": 2, "eval_wer": 1.0, "eval_cer": 0.819047619047619, "eval_loss": 10.831381661551339}],
    "merged": None,
    "waited_seconds": 0.07434705299965572,
    "exported": None,
    "remarks": ["4 texts of val are also in train: scores on val will flatter"],
}

COUNTS: Json = {"reference_length": 20, "substitutions": 4, "deletions": 0, "insertions": 0, "hits": 16}
LONG_IN_MODEL: Json = {
    "passes": False,
    "verdict": "fails: a loop: 'the same again' (100 % of 1 joins within 1 s of a segment's edge, 0.3 s at most)",
    "num_joins": 1,
    "share_near": 1.0,
    "share_of_edges": 1.0,
    "farthest_s": 0.29781250000000004,
    "disorder": ["a segment ends at 1.0 s before its start"],
    "loops": ["the same again"],
    "skipped": [[0.0, 31.5]],
}
PARITY: Json = {
    "record_format": 1,
    "eartune": "0.1.0",
    "format": "openai",
    "quantization": "float32",
    "family": "whisper",
    "task": "transcribe",
    "language": "en",
    "language_token": None,
    "made_from": {
        "model": "/home/anna/lora",
        "checkpoint": "best",
        "base_model": BASE,
        "method": "lora",
        "data": {"train": SPEECH, "val": SPEECH},
        "config": CONFIG,
        "metrics": METRICS,
    },
    "files": [{"name": "model-float32.pt", "size_bytes": 151092657, "sha256": "8c3aa065cc7c35cbefb6a0bc2d0dd21a"}],
    "largest_difference": {"read_back": None, "as_written": 1.1920928955078125e-06},
    "runtime": {"program": "openai-whisper", "package": "openai-whisper", "version": "20250625"},
    "skipped": None,
    "sample": {"what": "the validation speech", **SPEECH},
    "parity": {
        "passes": True,
        "failures": [],
        "warnings": [],
        "words": {
            "passes": True,
            "verdict": "passes: WER 20.00 % of the model, 20.00 % of the export (float32), 1 of 2 sentences differ",
            "quantization": "float32",
            "limit_points": 0.2,
            "change_points": 0.0,
            "change_points_interval_95": [0.0, 0.0],
            "model_wer": 0.2,
            "artefact_wer": 0.2,
            "model_wer_interval_95": [0.18181818181818182, 0.2222222222222222],
            "artefact_wer_interval_95": [0.18181818181818182, 0.2222222222222222],
            "between_wer": 0.05,
            "model_words": COUNTS,
            "artefact_words": COUNTS,
            "between_words": COUNTS,
            "num_utterances": 2,
            "num_differing": 1,
            "differing": [
                {
                    "index": 1,
                    "reference": "the queen is dead",
                    "model": "the queen is red",
                    "artefact": "the queen is read",
                }
            ],
            "cost": {
                "load_s": 0.5775190919994202,
                "decode_s": 5.832580173999304,
                "speech_s": 6.186625,
                "peak_memory_bytes": 181968896,
                "size_bytes": 151092657,
                "real_time_factor": 0.9427725414097838,
            },
        },
        "logit_distance": 1.6612193576293066e-06,
        "logit_distance_limit": 0.05,
        "long_recording": {
            "artefact": LONG_IN_MODEL | {"num_fallbacks": 0},
            "model": LONG_IN_MODEL,
            "base_model": LONG_IN_MODEL | {"num_fallbacks": None},
        },
    },
}

RATES: Json = {
    "unit": "word",
    "wer": 0.2,
    "wer_interval_95": [0.17391304347826086, 0.23529411764705882],
    "cer": 0.05714285714285714,
    "cer_interval_95": [0.04201680672268908, 0.07291666666666667],
    "sentence_error_rate": 1.0,
    "num_utterances": 4,
    "words": COUNTS,
    "decoding_seconds": 7.208,
}
SCORES: Json = {
    "model": "/home/anna/lora (best/)",
    "window": "padded to 30 s",
    "data": SPEECH,
    "scores": RATES,
    "base_model": "/home/anna/tiny-random.pt",
    "base_scores": RATES,
    "remarks": [],
    "difference": {"difference": -0.07500000000000001, "interval": [-0.15789473684210525, 0.0], "share_better": 0.942},
    "worst": [],
}

REMOVED = object()
OTHER_VALUES = {
    "removed": REMOVED,
    "null": None,
    "a list": [],
    "a text": "text",
    "a number": 7,
    "true": True,
    "an empty mapping": {},
    "nested": {"text": [{"text": None}]},
}


def changes(record: Json, value: object) -> Iterator[tuple[str, Json]]:
    """Yield the place of each key, as data.train.seconds, and the record with this value there."""
    for steps in _places(record, ()):
        # as it is read, with nothing in two places
        changed = json.loads(json.dumps(record))
        holder: Any = changed
        for step in steps[:-1]:
            holder = holder[step]
        if value is REMOVED:
            del holder[steps[-1]]
        else:
            holder[steps[-1]] = value
        yield "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip("."), changed


def refusal_of(read: Callable[[], object]) -> str | None:
    """Return what is said where something is refused, None where it is not."""
    try:
        read()
    except InputError as error:
        return str(error)
    return None


def _places(value: Any, before: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, found in inner:
        yield (*before, step)
        yield from _places(found, (*before, step))
