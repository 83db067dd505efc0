"""The benchmark's command: what is asked -> material, contest, figures, a table and a file."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoConfig

from benchmarks.whisper import material
from benchmarks.whisper.contenders import CONTENDERS
from benchmarks.whisper.contest import Plan, measure_evaluation, measure_training
from benchmarks.whisper.figures import Measured, ratios
from benchmarks.whisper.flops import useful_flops_per_audio_second
from benchmarks.whisper.machine import describe_machine, matrix_peak_flops
from benchmarks.whisper.report import describe, show
from benchmarks.whisper.setting import Setting
from eartune.files import write_json_atomic
from eartune.scoring import score
from eartune.training.device import best_device, resolve_precision
from eartune.verbs.library_logging import silence_libraries


def main(words: Sequence[str]) -> dict[str, Any]:
    """Run the benchmark and return what it wrote."""
    asked = parse(words)
    console = Console(stderr=True)
    silence_libraries()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="whisper-", dir=asked.out.parent) as folder:
        setting = prepare(asked, Path(folder))
        peaks = matrix_peaks()
        measured = {name: Measured() for name in asked.contenders}
        plan = Plan(
            rounds=asked.rounds,
            steps_per_block=asked.steps_per_block,
            block_seconds=asked.block_seconds,
            warm_up_steps=asked.warm_up_steps,
            evaluation_rounds=asked.evaluation_rounds,
            threads=asked.threads,
        )
        measure_training(asked.contenders, setting, plan, measured, console.print)
        if asked.evaluation_rounds:
            measure_evaluation(asked.contenders, setting, plan, measured, console.print)
        # before and after: something else may have used the machine at one of the times
        peaks = {name: max(peak, peaks[name]) for name, peak in matrix_peaks().items()}
        console.print(f"matrix peak: {', '.join(f'{name} {peak / 1e12:.2f} TFLOP/s' for name, peak in peaks.items())}")
        result = summarise(asked, setting, peaks, measured)
    write_json_atomic(asked.out, result)
    show(result["contenders"], result["ratios"], Console(width=None if sys.stdout.isatty() else 100))
    console.print(f"written: {asked.out}")
    return result


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="whisper_training.py", description="Whisper training, measured side by side.")
    add = parser.add_argument
    add("--data", type=Path, help="folder with train.jsonl and test.jsonl (NeMo's manifests); default: noise")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--model", type=Path, help="folder of a multilingual Hugging Face Whisper")
    weights.add_argument("--random-weights", choices=material.SIZES, default=material.MINIATURE, help="else: of sizes")
    add("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    add("--rounds", type=int, default=3, help="blocks of training per contender")
    add("--steps-per-block", type=int, default=1, help="optimiser steps in a block, at least")
    add("--block-seconds", type=float, default=3.0, help="more steps for a fast contender until its block takes this")
    add("--warm-up-steps", type=int, default=1, help="optimiser steps before the first block")
    add("--evaluation-rounds", type=int, default=1, help="times that the test clips are decoded; 0: not at all")
    add("--clips-per-step", type=int, default=24)
    add("--clips-per-pass", type=int, help="clips in memory together; default: all of a step")
    add("--train-clips", type=int, default=384, help="of the training manifest, at most")
    add("--test-clips", type=int, default=24, help="of the test manifest, at most")
    add("--max-tokens", type=int, default=225, help="longest text that decoding may give")
    add("--precision", choices=["auto", "bf16", "fp16", "fp32"], default="auto", help="of all contenders but guide")
    add("--workers", type=int, default=min(4, (os.cpu_count() or 1) - 1), help="loading processes of all but guide")
    add("--threads", type=int, help="OMP_NUM_THREADS of contenders")
    add("--out", type=Path, default=Path("runs/bench/whisper_training.json"))
    asked = parser.parse_args(words)
    asked.words = list(words)
    asked.clips_per_pass = asked.clips_per_pass or asked.clips_per_step
    if asked.clips_per_step % asked.clips_per_pass:
        parser.error(f"--clips-per-pass {asked.clips_per_pass} does not divide --clips-per-step {asked.clips_per_step}")
    return asked


def prepare(asked: argparse.Namespace, folder: Path) -> Setting:
    """Put together what all contenders are given."""
    model = asked.model or material.write_random_model(folder / "model", asked.random_weights)
    speech = {}
    for seed, (split, count) in enumerate({"train": asked.train_clips, "test": asked.test_clips}.items()):
        if asked.data:
            speech[split] = material.read_speech(asked.data / f"{split}.jsonl", count)
        else:
            speech[split] = material.write_made_up_speech(folder / f"{split}-audio", count, seed=seed)
    train = material.deal_evenly(speech["train"], asked.clips_per_step)
    return Setting(
        model=model.resolve(),
        train=material.write_manifest(folder / "train.jsonl", train).resolve(),
        test=material.write_manifest(folder / "test.jsonl", speech["test"]).resolve(),
        folder=folder.resolve(),
        language=train[0].language or "en",
        clips_per_step=asked.clips_per_step,
        clips_per_pass=asked.clips_per_pass,
        precision=resolve_precision(asked.precision, best_device()),
        workers=asked.workers,
        max_tokens=asked.max_tokens,
    )


def summarise(
    asked: argparse.Namespace, setting: Setting, peaks: dict[str, float], measured: dict[str, Measured]
) -> dict[str, Any]:
    config = AutoConfig.from_pretrained(setting.model)
    durations_s = setting.durations_s("train")
    tokens = material.count_tokens(setting.model, [str(row["text"]) for row in setting.rows("train")])
    references = [str(row["text"]) for row in setting.rows("test")]
    languages = [setting.language] * len(references)
    contenders = {}
    for name, found in measured.items():
        precision = precision_of(name, setting)
        contenders[name] = {"precision": precision} | describe(
            name,
            measured,
            flops_per_audio_second=useful_flops_per_audio_second(config, durations_s, tokens, CONTENDERS[name].passes),
            peak_flops=peaks["fp32" if precision == "fp32" else "bf16"],
            clips_per_step=setting.clips_per_step,
            word_error_rate=score(references, found.texts, languages=languages).words.rate if found.texts else None,
        )
    return {
        "command": ["benchmarks/whisper_training.py", *asked.words],
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "machine": {**describe_machine(), "matrix_peak_flops": peaks, "contenders_threads": asked.threads},
        "settings": {n: str(v) if isinstance(v, Path) else v for n, v in vars(asked).items() if n != "words"},
        "material": {
            "train_clips": len(durations_s),
            "train_audio_seconds": sum(durations_s),
            "test_clips": len(references),
            "test_audio_seconds": sum(setting.durations_s("test")),
            "made_up_speech": asked.data is None,
            "model": str(asked.model) if asked.model else f"{asked.random_weights}, random weights",
            "same_initial_weights": len({m.training_report["initial_weights"] for m in measured.values()}) == 1,
        },
        "contenders": contenders,
        "ratios": ratios(measured),
    }


def matrix_peaks() -> dict[str, float]:
    return {name: matrix_peak_flops(dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}


def precision_of(name: str, setting: Setting) -> str:
    if name == "guide":
        return "fp16" if torch.cuda.is_available() else "fp32"
    return setting.precision


if __name__ == "__main__":
    main(sys.argv[1:])
