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
