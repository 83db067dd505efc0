"""eartune itself, as `eartune train` and `eartune evaluate` do it, in each kind of window.

Only what the contest needs is set: the same clips per step, no validation, no checkpoints in between.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.whisper.gate import Clock, Gate, hash_of_weights, resources
from benchmarks.whisper.protocol import Benchmark
from benchmarks.whisper.setting import Setting
from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.families.registry import family
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions, WindowKind
from eartune.reporting import Silent
from eartune.training.decoding import decode_utterances
from eartune.training.device import best_device
from eartune.training.trainer import SpeechTrainer
from eartune.verbs.train import train as train_run

TRAINED_WITHOUT_END = 1_000_000
METHODS: dict[str, dict[str, Any]] = {
    "padded": {"method": "full", "window": "padded"},
    "packed": {"method": "full", "window": "packed"},
    "short": {"method": "full", "window": "short"},
    "frozen_cached": {"method": "full", "window": "short", "freeze_encoder": True, "cache_encoder": True},
    # nothing chosen but to tune all weights, as the guides do
    "default": {"method": "full"},
    "lora": {"method": "lora", "window": "short", "r": 32, "lora_alpha": 64, "target_modules": ["q_proj", "v_proj"]},
}


def train(name: str, setting: Setting, benchmark: Benchmark) -> None:
    given = {
        "base_model": str(setting.model),
        "train": [str(setting.train)],
        "language": setting.language,
        "output_dir": str(setting.folder / "run"),
        "per_device_train_batch_size": setting.clips_per_pass,
        "gradient_accumulation_steps": setting.passes_per_step(),
        "learning_rate": 1e-5,
        "warmup_steps": 500,
        "max_steps": TRAINED_WITHOUT_END,
        "save_steps": TRAINED_WITHOUT_END,
        "report_to": "none",
        **({} if name == "default" else {"precision": setting.precision}),
        **METHODS[name],
    }
    gates: list[Gate] = []

    def watch(trainer: SpeechTrainer) -> list[Gate]:
        gates.append(Gate(benchmark, lambda _: trainer.audio_seconds))
        return gates

    train_run(resolve_config(overrides=[override(option, value) for option, value in given.items()]), watch=watch)
    gates[0].report(setting.folder)


def evaluate(name: str, setting: Setting, benchmark: Benchmark) -> None:
    family_module = family("whisper")
    model = family_module.load(family_module.find(str(setting.model)), language=setting.language)
    model.network.to(best_device())
    weights = hash_of_weights(model.network)
    utterances = read_manifest([setting.test]).utterances
    window: WindowKind = "short" if name in ("short", "frozen_cached", "lora") else "padded"
    options = DecodeOptions(max_length=setting.max_tokens, window=window)
    benchmark.ready()
    while (request := benchmark.request())["do"] == "evaluate":
        asked = utterances[: request["clips"]]
        clock = Clock()
        with Silent().task("decoding", len(asked)) as task, torch.no_grad():
            texts = decode_utterances(
                model, asked, batch_size=16, options=options, precision=setting.precision, task=task
            )
        times = clock.read()
        benchmark.done(**times, clips=len(asked), audio_seconds=sum(u.duration_s for u in asked), texts=texts)
    benchmark.done(initial_weights=weights, **resources(setting.folder))
