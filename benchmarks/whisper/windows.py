"""How a kind of window changes what is learnt: WER of the test set in stock windows, and the times of segments.

Every run sees the same speech. Times are looked at on test clips laid behind each other up to 28 s, with half a second
between them: a join is found where a segment begins or ends within it, give or take half a second.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from eartune.audio import SAMPLE_RATE_HZ
from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.files import write_json_atomic
from eartune.manifest import Utterance, load_waveform, read_manifest
from eartune.model import SpeechModel, Waveform
from eartune.verbs.evaluate import evaluate
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import train

LONGEST_S, GAP_S, TOLERANCE_S = 28.0, 0.5, 0.5
MOST_RECORDINGS = 12


@dataclass(frozen=True)
class Recording:
    """Clips behind each other; `spans` are where each begins and ends, in seconds."""

    waveform: Waveform
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Times:
    """Joins between clips, those of them that a segment keeps to, and the mean distance of the nearest edge."""

    joins: int
    found: int
    mean_distance_s: float
    segments: int
    clips: int


def main(words: Sequence[str]) -> None:
    asked = parse(words)
    console = Console(stderr=True)
    results = [measure(str(asked.model), asked, {"window": "untuned"})]
    console.print(results[-1])
    for seed in asked.seeds:
        for window in asked.windows:
            results.append(run(asked, window, seed))
            console.print(results[-1])
            write_json_atomic(asked.out / "results.json", {"command": list(words), "results": results})


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="whisper_windows.py", description="What is learnt in each kind of window.")
    add = parser.add_argument
    add("--model", type=Path, required=True, help="folder of a Hugging Face Whisper")
    add("--data", type=Path, required=True, help="folder with train.jsonl and test.jsonl")
    add("--language", required=True)
    add("--windows", nargs="+", default=["padded", "packed", "short"])
    add("--seeds", nargs="+", type=int, default=[1, 2, 3])
    add("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="further options of eartune train")
    add("--out", type=Path, default=Path("runs/bench/windows"))
    return parser.parse_args(words)


def run(asked: argparse.Namespace, window: str, seed: int) -> dict[str, Any]:
    """Train in one kind of window, and measure what came of it."""
    given: dict[str, Any] = {
        "base_model": str(asked.model), "train": [str(asked.data / "train.jsonl")], "language": asked.language,
        "window": window, "seed": seed, "skip_bad": True, "num_train_epochs": 2, "report_to": "none",
        "output_dir": str(asked.out / f"{window}-{seed}"), "overwrite": True,
        **dict(option.split("=", 1) for option in asked.set),
    }  # fmt: skip
    processor = time.process_time()
    trained = train(resolve_config(overrides=[override(name, value) for name, value in given.items()]))
    facts = {
        "window": window,
        "seed": seed,
        "train_seconds": trained.train_seconds,
        "processor_seconds": time.process_time() - processor,
        "audio_seconds": trained.audio_seconds,
        "steps": trained.steps,
    }
    return measure(str(trained.path), asked, facts)


def measure(base_model: str, asked: argparse.Namespace, facts: dict[str, Any]) -> dict[str, Any]:
    test = asked.data / "test.jsonl"
    scored = evaluate(
        base_model, data=[test], out=asked.out / "scores", against_base=False, language=asked.language, skip_bad=True
    )
    words = scored.tuned.scores.words
    utterances = read_manifest([test], default_language=asked.language, skip_bad=True).utterances
    model = open_located(locate(base_model, language=asked.language))
    times = times_of(model, recordings(utterances), asked.language)
    return {**facts, "wer": words.rate, "words": words.to_json(), "times": asdict(times)}


def recordings(utterances: Sequence[Utterance]) -> Iterator[Recording]:
    """Lay clips of less than half a window behind each other until none fits; a rest that fills none is left out."""
    pieces: list[Waveform] = []
    spans: list[tuple[float, float]] = []
    end_s, made = 0.0, 0
    for utterance in (u for u in utterances if u.duration_s < LONGEST_S / 2):
        if spans and end_s + utterance.duration_s > LONGEST_S:
            yield Recording(np.concatenate(pieces), tuple(spans))
            pieces, spans, end_s, made = [], [], 0.0, made + 1
            if made == MOST_RECORDINGS:
                return
        waveform = load_waveform(utterance)
        spans.append((end_s, end_s + len(waveform) / SAMPLE_RATE_HZ))
        pieces += [waveform, np.zeros(round(GAP_S * SAMPLE_RATE_HZ), dtype=np.float32)]
        end_s = spans[-1][1] + GAP_S


def times_of(model: SpeechModel, made: Iterator[Recording], language: str) -> Times:
    distances: list[float] = []
    num_segments = num_clips = 0
    spoken = Utterance(audio=Path("joined.wav"), text="", duration_s=LONGEST_S, language=language)
    for recording in made:
        segments = model.transcribe_long(recording.waveform, spoken)
        edges = [edge for segment in segments for edge in (segment.start_s, segment.end_s)]
        distances += join_distances(recording.spans, edges)
        num_segments, num_clips = num_segments + len(segments), num_clips + len(recording.spans)
    found = sum(distance <= TOLERANCE_S for distance in distances)
    mean_s = float(np.mean(np.minimum(distances, LONGEST_S))) if distances else 0.0
    return Times(len(distances), found, mean_s, num_segments, num_clips)


def join_distances(spans: Sequence[tuple[float, float]], edges: Sequence[float]) -> list[float]:
    """Return for each silence between two clips how far the nearest edge of a segment is from it, 0 within it."""
    silences = [(before[1], after[0]) for before, after in itertools.pairwise(spans)]
    return [min((max(begin - edge, edge - end, 0.0) for edge in edges), default=LONGEST_S) for begin, end in silences]
