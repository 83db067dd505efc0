"""Lines about memory while a run lasts, and their figures beside the loss."""

import csv
import re
from pathlib import Path

import numpy as np
import psutil
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.reporting import Silent
from eartune.training.memory_report import GIB, memory_gib
from eartune.verbs.train import TrainedRun, train

FIGURE = r"\d+\.\d\d"


class Lines(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def line(self, text: str) -> None:
        self.told.append(text)


def run(model: Path, speech: Path, out: Path, **options: object) -> tuple[TrainedRun, list[str]]:
    given = {
        "base_model": str(model), "train": [str(speech)], "val": [str(speech)], "output_dir": str(out), "max_steps": 4,
        "per_device_train_batch_size": 2, "generation_max_length": 4, "logging_steps": 1, "num_workers": 0, **options,
    }  # fmt: skip
    report = Lines()
    config = resolve_config(overrides=[override(name, value) for name, value in given.items()])
    return train(config, reporter=report), [line for line in report.told if line.startswith("[MEM:")]


def test_on_a_cpu_the_process_is_measured_and_no_gpu_is_made_up() -> None:
    figures = memory_gib(torch.device("cpu"))
    assert set(figures) == {"process_resident_gib", "process_peak_gib"}
    assert 0.05 < figures["process_resident_gib"] <= figures["process_peak_gib"]
    assert figures["process_peak_gib"] < psutil.virtual_memory().total / GIB


def test_memory_that_is_taken_shows_as_resident_and_stays_in_the_peak() -> None:
    before = memory_gib(torch.device("cpu"))["process_resident_gib"]
    block = np.ones(GIB // 4, dtype=np.uint8)
    during = memory_gib(torch.device("cpu"))
    size_gib = block.nbytes / GIB
    del block
    after = memory_gib(torch.device("cpu"))
    assert during["process_resident_gib"] - before > 0.9 * size_gib
    assert during["process_resident_gib"] - after["process_resident_gib"] > 0.9 * size_gib
    assert after["process_peak_gib"] >= during["process_resident_gib"] - 0.01


def test_lines_come_at_the_moments_they_name(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    _, told = run(tiny_model, tiny_speech, tmp_path / "run", mem_report_steps=2)
    moments = ["fit_start", "step2", "val_end", "step4", "val_end", "fit_end"]
    assert [re.sub(FIGURE, "N", line) for line in told] == [
        f"[MEM:{moment}] process resident N, peak N GiB" for moment in moments
    ]


def test_the_figures_stand_beside_the_loss(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    trained, _ = run(tiny_model, tiny_speech, tmp_path / "run", mem_report_steps=2)
    with (trained.path / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    assert all(0.05 < float(row["process_resident_gib"]) <= float(row["process_peak_gib"]) for row in rows)
    assert all(row["gpu_peak_gib"] == "" for row in rows)
    events = EventAccumulator(str(trained.path / "tensorboard")).Reload()
    assert next(event.step for event in events.Scalars("memory/process_resident_gib")) == 1


def test_without_the_option_nothing_is_said_or_written(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    trained, told = run(tiny_model, tiny_speech, tmp_path / "run")
    assert told == []
    assert "gib" not in (trained.path / "metrics.csv").read_text()
