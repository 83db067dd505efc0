"""What was measured, as a table and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.whisper.contenders import CONTENDERS
from benchmarks.whisper.figures import Measured, best_speed, median_speed, speed_ratio

# Any: values of JSON
Json = dict[str, Any]
REFERENCES = ("strong", "guide")


def describe(
    name: str,
    contenders: Mapping[str, Measured],
    *,
    flops_per_audio_second: float,
    peak_flops: float,
    clips_per_step: int,
    word_error_rate: float | None,
) -> Json:
    """Return all figures of one contender, and how its speeds compare with the references that took part."""
    measured = contenders[name]
    speed = median_speed(measured.training)
    return {
        "what": CONTENDERS[name].what,
        "audio_hours_per_hour": {"median": speed, "best": best_speed(measured.training)},
        "share_of_peak": speed * flops_per_audio_second / peak_flops,
        "first_step_begins_s": measured.first_step_begins_s,
        "first_step_ends_s": measured.first_step_ends_s,
        "clips_per_step": clips_per_step,
        **measured.training_report,
        "blocks": [dataclasses.asdict(block) for block in measured.training],
        "against": _against(measured.training, {n: m.training for n, m in contenders.items()}),
        "evaluation": _evaluation(measured, contenders, word_error_rate) if measured.evaluation else None,
    }


def _evaluation(measured: Measured, contenders: Mapping[str, Measured], word_error_rate: float | None) -> Json:
    speed = median_speed(measured.evaluation)
    clips, audio_seconds = measured.evaluation[0].count, measured.evaluation[0].audio_seconds
    same = {
        reference: sum(map(str.__eq__, measured.texts, contenders[reference].texts))
        for reference in REFERENCES
        if reference in contenders
    }
    return {
        "audio_seconds_per_s": {"median": speed, "best": best_speed(measured.evaluation)},
        "clips_per_s": speed * clips / audio_seconds,
        "clips": clips,
        "clips_with_the_same_text_as": same,
        "word_error_rate": word_error_rate,
        **measured.evaluation_report,
        "blocks": [dataclasses.asdict(block) for block in measured.evaluation],
        "against": _against(measured.evaluation, {n: m.evaluation for n, m in contenders.items()}),
    }


def _against(blocks: Sequence[Any], others: Mapping[str, Sequence[Any]]) -> Json:
    return {
        reference: dataclasses.asdict(speed_ratio(blocks, others[reference]))
        for reference in REFERENCES
        if others.get(reference)
    }


def show(contenders: Mapping[str, Json], ratios: Mapping[str, float], console: Console) -> None:
    table = Table(box=box.SIMPLE, title="Hours of audio trained on in an hour, and what that takes")
    table.add_column("")
    for heading in ("h/h", "x strong (95 %)", "of peak", "1st step", "memory", "disk", "decoded", "same text"):
        table.add_column(heading, justify="right", overflow="fold")
    for name, figures in contenders.items():
        evaluation = figures["evaluation"] or {}
        same = evaluation.get("clips_with_the_same_text_as", {}).get("strong")
        table.add_row(
            name,
            f"{figures['audio_hours_per_hour']['median']:.1f}",
            _ratio(figures["against"].get("strong")),
            f"{figures['share_of_peak']:.1%}",
            f"{figures['first_step_begins_s']:.1f} s",
            _gigabytes(figures["device_peak_reserved_bytes"] or figures["host_peak_bytes"]),
            _gigabytes(figures["disk_bytes"]),
            f"{evaluation['clips_per_s']:.2f}/s" if evaluation else "-",
            f"{same}/{evaluation['clips']}" if same is not None else "-",
        )
    console.print(table)
    for key, ratio in ratios.items():
        console.print(f"{key}: {ratio:.2f} times better than the reference")


def _ratio(ratio: Json | None) -> str:
    if ratio is None:
        return "-"
    low, high = ratio["interval"]
    return f"{ratio['median']:.2f} ({low:.2f}-{high:.2f})"


def _gigabytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e9:.2f} GB"
