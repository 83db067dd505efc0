"""The clips, in the batches that eartune's plan makes of them, so that NeMo can be given the same."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError
from eartune.families.registry import family
from eartune.manifest import Utterance, read_manifest
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.epochs import plan_epochs

# NeMo pads shorter ones for Canary
SHORTEST_S = 1.0


def family_of(kind: str) -> str:
    return "canary" if kind == "canary" else "parakeet"


def training_config(kind: str, model: Path, manifest: Path, out: Path, *, batch_size: int) -> TrainConfig:
    """Configure one pass of full tuning in float32, without validation."""
    given = {
        "base_model": str(model),
        "train": [str(manifest)],
        "output_dir": str(out),
        "method": "full",
        "num_train_epochs": 1,
        "per_device_train_batch_size": batch_size,
        "precision": "fp32",
        "dataloader_num_workers": 0,
        "logging_steps": 50,
    }
    return resolve_config(family_of(kind), overrides=[override(name, value) for name, value in given.items()])


def choose_clips(
    kind: str, model: Path, speech: Sequence[Utterance], count: int, *, longest_s: float = math.inf
) -> list[Utterance]:
    """Return the first `count` utterances, of at most `longest_s`, that the model can be trained on."""
    family_module = family(family_of(kind))
    loaded = family_module.load(family_module.find(str(model)), language="en")
    long_enough = [utterance for utterance in speech if SHORTEST_S <= utterance.duration_s <= longest_s]
    findings = loaded.findings(long_enough)
    usable = [utterance for utterance, finding in zip(long_enough, findings, strict=True) if finding is None]
    if len(usable) < count:
        raise InputError(
            f"{len(usable)} clips can be trained on, and {count} are needed; lower --steps or --batch-size"
        )
    return usable[:count]


def write_in_plan_order(
    kind: str, base_model: Path, utterances: Sequence[Utterance], folder: Path, *, batch_size: int
) -> dict[str, Path]:
    """Write a manifest for eartune, and one for NeMo whose every `batch_size` rows are a step of eartune's."""
    folder.mkdir()
    given = write_manifest(folder / "train.jsonl", utterances)
    config = training_config(kind, base_model, given, folder / "unused", batch_size=batch_size)
    family_module = family(config.family)
    model = family_module.load(family_module.find(str(base_model)))
    read = read_manifest([given]).utterances
    epochs = plan_epochs(config, SpeechDataset(read, model).clips(), model, torch.device("cpu"))
    steps = [[clip.index for batch in step for w in batch.windows for clip in w.clips] for step in epochs.plan(0)]
    assert all(len(step) == batch_size for step in steps)
    ordered = write_manifest(folder / "train-in-order.jsonl", [read[index] for step in steps for index in step])
    return {"eartune": given, "nemo": ordered}


def write_manifest(path: Path, utterances: Sequence[Utterance]) -> Path:
    """Write NeMo's JSON lines, with what Canary's prompts need."""
    languages = {"lang": "en", "source_lang": "en", "target_lang": "en", "pnc": "yes"}
    rows = [{"audio_filepath": str(u.audio), "duration": u.duration_s, "text": u.text, **languages} for u in utterances]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
