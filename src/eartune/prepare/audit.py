"""Audit of a corpus: its contents, and suspect rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import mean, median
from typing import Any

from eartune.manifest import Utterance
from eartune.manifest.folding import fold
from eartune.prepare.convert import Loudness, MeasuredUtterance
from eartune.prepare.table import SplitName
from eartune.speech_checks import CLIPPED, QUIET, is_clipped, is_quiet

# the window of many models
LONG_S = 30.0
# A correct transcript is hardly ever three times too long or too short; that of another utterance rarely is.
UNLIKELY_RATE = 3.0
# a single word may be short beside the silence around it
UNLIKELY_S = 1.0
HISTOGRAM_EDGES_S = (0, 1, 2, 3, 5, 10, 15, 20, 30, 60)
NUM_EXAMPLES = 50

Report = dict[str, Any]  # Any: JSON


def audit(
    parts: Mapping[SplitName, Sequence[MeasuredUtterance]], skipped: Sequence[str], notes: Sequence[str]
) -> Report:
    """Return a JSON report: sizes of the splits, durations, and lists of suspect rows with their sources."""
    every = [measured for part in parts.values() for measured in part]
    return {
        "total": _sizes([measured.utterance for measured in every]),
        "splits": {split: _sizes([m.utterance for m in part]) for split, part in parts.items() if part},
        "notes": list(notes),
        "duration_s": _durations([measured.utterance.duration_s for measured in every]),
        "longer_than_30_s": _suspects(every, lambda m: m.utterance.duration_s > LONG_S, _duration),
        "silent": _suspects(every, lambda m: is_quiet(m.utterance, m.loudness), _loudness),
        "clipped": _suspects(every, lambda m: is_clipped(m.loudness), _loudness),
        "unlikely_rate": _unlikely_rates(every),
        "duplicate_texts": _duplicates([measured.utterance for measured in every]),
        "skipped": {"count": len(skipped), "findings": list(skipped)},
    }


def warnings(report: Report) -> list[str]:
    """Return the lines of a report that a user should read before training."""
    suspects = {
        "longer_than_30_s": "longer than 30 s, the window of many models",
        "silent": QUIET,
        "clipped": CLIPPED,
        "unlikely_rate": "three times faster or slower than the rest: check that the transcripts belong to them",
    }
    lines = [f"{count} clips are {what}" for name, what in suspects.items() if (count := report[name]["count"])]
    skipped = report["skipped"]
    first = [f"{skipped['count']} rows were skipped, the first: {finding}" for finding in skipped["findings"][:1]]
    return [*lines, *first]


def _sizes(utterances: Sequence[Utterance]) -> Report:
    return {
        "utterances": len(utterances),
        "hours": round(sum(u.duration_s for u in utterances) / 3600, 4),
        "speakers": len({u.speaker for u in utterances} - {None}),
        "languages": dict(Counter(u.language or "unknown" for u in utterances).most_common()),
        "different_texts": len({fold(u.text) for u in utterances}),
    }


def _durations(durations_s: Sequence[float]) -> Report:
    edges = [*HISTOGRAM_EDGES_S, float("inf")]
    bins = list(pairwise(edges))
    counts = Counter(next(low for low, high in bins if s < high) for s in durations_s)
    names = {low: f"{low}-{high}" if high != float("inf") else f"over {low}" for low, high in bins}
    return {
        "shortest": round(min(durations_s), 3),
        "median": round(median(durations_s), 3),
        "mean": round(mean(durations_s), 3),
        "longest": round(max(durations_s), 3),
        "histogram": {name: counts[low] for low, name in names.items()},
    }


def _duration(measured: MeasuredUtterance) -> Report:
    return {"duration_s": round(measured.utterance.duration_s, 3)}


def _loudness(measured: MeasuredUtterance) -> Report:
    loudness: Loudness = measured.loudness
    return {"peak": loudness.peak, "rms": loudness.rms, "clipped": loudness.clipped}


def _suspects(
    every: Sequence[MeasuredUtterance],
    is_suspect: Callable[[MeasuredUtterance], bool],
    why: Callable[[MeasuredUtterance], Report],
) -> Report:
    found = [measured for measured in every if is_suspect(measured)]
    examples = [{"source": m.utterance.source, "audio": m.utterance.audio.name, **why(m)} for m in found[:NUM_EXAMPLES]]
    return {"count": len(found), "examples": examples}


def _unlikely_rates(every: Sequence[MeasuredUtterance]) -> Report:
    rates: dict[str | None, list[float]] = {}
    with_text = [measured for measured in every if measured.utterance.text]
    for measured in with_text:
        rates.setdefault(measured.utterance.language, []).append(_rate(measured.utterance))
    usual = {language: median(values) for language, values in rates.items()}

    def is_unlikely(measured: MeasuredUtterance) -> bool:
        utterance = measured.utterance
        expected = usual[utterance.language]
        likely = expected / UNLIKELY_RATE <= _rate(utterance) <= expected * UNLIKELY_RATE
        return not likely and abs(utterance.duration_s - len(utterance.text) / expected) > UNLIKELY_S

    def why(measured: MeasuredUtterance) -> Report:
        return {"characters_per_second": round(_rate(measured.utterance), 2), "text": measured.utterance.text}

    medians = {language or "unknown": round(rate, 2) for language, rate in usual.items()}
    return {"median_characters_per_second": medians, **_suspects(with_text, is_unlikely, why)}


def _rate(utterance: Utterance) -> float:
    return len(utterance.text) / utterance.duration_s


def _duplicates(utterances: Sequence[Utterance]) -> Report:
    counts = Counter(fold(u.text) for u in utterances)
    repeated = {folded: count for folded, count in counts.most_common() if count > 1}
    texts = {fold(u.text): u.text for u in reversed(utterances)}
    examples = [{"text": texts[folded], "count": count} for folded, count in list(repeated.items())[:NUM_EXAMPLES]]
    return {"texts": len(repeated), "utterances": sum(repeated.values()), "examples": examples}
