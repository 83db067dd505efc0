"""Model card of an export, its README.md: only facts that are on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from eartune.export.evaluation import EvaluationRecord, ScoresRecord
from eartune.export.parity_record import ParityRecord, WordsRecord
from eartune.export.record import ExportRecord, MadeFromRecord
from eartune.family import Usage
from eartune.parsing import dump_yaml

CARD = "README.md"
NOT_STATED = "not stated"
LIBRARIES = {"hf": "transformers", "nemo": "nemo", "ctranslate2": "ctranslate2", "onnx": "onnx", "ggml": "whisper.cpp"}
MEBIBYTE = 2**20


def card(
    record: ExportRecord,
    *,
    title: str,
    usages: Sequence[Usage],
    evaluations: Mapping[str, EvaluationRecord],
    license_id: str | None = None,
    data_notes: str | None = None,
) -> str:
    """Return the card as Markdown with the hub's header.

    `evaluations` are scores.json by the name of the test speech; `data_notes` describes the source and licence of the
    training speech. Of paths only the last part is shown, since the folders of a machine are private.
    """
    sections = [
        _header(record, license_id),
        f"# {title}\n",
        _summary(record),
        _how_to_run(usages),
        _metrics(evaluations),
        _parity(record),
        _data(record.made_from, data_notes),
        _configuration(record.made_from),
        _licences(license_id, data_notes),
    ]
    return "\n".join(section for section in sections if section)


def _header(record: ExportRecord, license_id: str | None) -> str:
    base = record.made_from.base_model
    facts = {
        "pipeline_tag": "automatic-speech-recognition",
        "library_name": LIBRARIES.get(record.format),
        "language": record.language,
        "license": license_id,
        # the hub takes ids only
        "base_model": base.spec if base.kind == "hub" else None,
        "tags": [record.family, "eartune"],
    }
    shown = {name: value for name, value in facts.items() if value}
    return f"---\n{dump_yaml(shown)}---\n"


def _summary(record: ExportRecord) -> str:
    source = record.made_from
    base = source.base_model
    text = f"{_name(base.spec)} (weights sha256 `{base.sha256[:16]}…`)"
    tuned = f"by {source.method}, checkpoint `{source.checkpoint}`" if source.method else "no, or not on record"
    lines = [
        f"- base model: {text}",
        f"- tuned: {tuned}",
        f"- language: {record.language or 'detected'}; task: {record.task}",
        f"- format: {record.format}, {record.quantization}; written by eartune {record.eartune}",
    ]
    files = [f"| `{f.name}` | {f.size_bytes / MEBIBYTE:.1f} MiB | `{f.sha256}` |" for f in record.files]
    return "\n".join([*lines, "", "| file | size | sha256 |", "|---|---|---|", *files, ""])


def _how_to_run(usages: Sequence[Usage]) -> str:
    blocks = [f"With {each.program}:\n\n```{each.syntax}\n{each.text}```\n" for each in usages]
    return "\n".join(["## How to run it\n", *blocks]) if blocks else ""


def _metrics(evaluations: Mapping[str, EvaluationRecord]) -> str:
    lines = ["## Error rates\n"]
    if not evaluations:
        lines.append("Not measured on test speech: `eartune evaluate RUN --data test.jsonl`, then export again.\n")
        return "\n".join(lines)
    lines += ["| speech | utterances | model | WER (95 % interval) | CER (95 % interval) |", "|---|---|---|---|---|"]
    for name, evaluation in evaluations.items():
        if evaluation.base_scores is not None:
            lines.append(_scores_row(name, "base", evaluation.base_scores))
        lines.append(_scores_row(name, "tuned", evaluation.scores))
    return "\n".join([*lines, ""])


def _scores_row(name: str, who: str, scores: ScoresRecord) -> str:
    speech = name if scores.unit == "word" else f"{name} (WER per {scores.unit})"
    wer, cer = _measured(scores.wer, scores.wer_interval_95), _measured(scores.cer, scores.cer_interval_95)
    return f"| {speech} | {scores.num_utterances} | {who} | {wer} | {cer} |"


def _measured(rate: float | None, interval: Sequence[float] | None) -> str:
    return "no reference words" if rate is None or interval is None else f"{_percent(rate)} ({_interval(interval)})"


def _parity(record: ExportRecord) -> str:
    lines = ["## Comparison with the model\n"]
    parity, runtime = record.parity, record.runtime
    if parity is None:
        return "\n".join([*lines, f"Not verified in {runtime.program}: {record.skipped}.\n"])
    rows = _words_rows(parity.words, parity.logit_distance) | _long_rows(parity)
    table = [f"| {name} | {value} |" for name, value in rows.items()]
    program = f"{runtime.program} ({runtime.package} {runtime.version})"
    what = record.sample.what if record.sample else f"speech that is {NOT_STATED}"
    sample = f"Measured in {program} on a CPU, with a sample of {what}.\n"
    return "\n".join([*lines, sample, "| | |", "|---|---|", *table, ""])


def _words_rows(words: WordsRecord, logit_distance: float | None) -> dict[str, str]:
    cost = words.cost
    return {
        f"WER of the model / of this file, {words.num_utterances} utterances": (
            f"{_percent(words.model_wer)} ({_interval(words.model_wer_interval_95)}) / "
            f"{_percent(words.artefact_wer)} ({_interval(words.artefact_wer_interval_95)})"
        ),
        "words that differ between the two": _percent(words.between_wer),
        "sentences that differ": f"{words.num_differing} of {words.num_utterances}",
        "distance of the first logits": _number(logit_distance),
        "seconds to load": f"{cost.load_s:.1f}",
        "seconds for a second of speech": f"{cost.real_time_factor:.2f}",
        "memory": f"{cost.peak_memory_bytes / MEBIBYTE:.0f} MiB" if cost.peak_memory_bytes else NOT_STATED,
        "size": f"{cost.size_bytes / MEBIBYTE:.0f} MiB",
    }


def _long_rows(parity: ParityRecord) -> dict[str, str]:
    long = parity.long_recording
    rows = {}
    for who, found in (("this file", long.artefact), ("the model", long.model), ("its base", long.base_model)):
        if found is not None:
            again = "" if found.num_fallbacks is None else f"; {found.num_fallbacks} windows decoded again"
            rows[f"a long recording, {who}"] = f"{found.verdict}{again}"
    return rows


def _data(source: MadeFromRecord, notes: str | None) -> str:
    data = source.data or {}
    lines = ["## Speech it was tuned on\n", "| | manifests | utterances | hours | sha256 |", "|---|---|---|---|---|"]
    for split, facts in data.items():
        names = ", ".join(_name(path) for path in facts.manifests)
        hours = facts.seconds / 3600
        lines.append(f"| {split} | {names} | {facts.utterances} | {hours:.2f} | `{facts.sha256[:16]}…` |")
    if not data:
        lines = ["## Speech it was tuned on\n", "Not on record."]
    return "\n".join([*lines, "", f"{notes or 'Where it is from, and what its licence allows: ' + NOT_STATED + '.'}\n"])


def _configuration(source: MadeFromRecord) -> str:
    config = dict(_public(source.config or {}))
    if not config:
        return ""
    shown = dump_yaml(config)
    return f"## Configuration\n\n<details><summary>all settings</summary>\n\n```yaml\n{shown}```\n\n</details>\n"


def _licences(license_id: str | None, notes: str | None) -> str:
    text = license_id or f"{NOT_STATED}; the licence of the base model also applies to models made from it"
    return f"## Licences\n\nThis model: {text}. The speech: {'see above' if notes else NOT_STATED}.\n"


def _public(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings that are set, with the last part of paths only."""
    for name, value in config.items():
        if value not in (None, [], {}, ""):
            yield name, _named(value)


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(each) for each in value]
    return _name(value) if isinstance(value, str) else value


def _name(spec: str) -> str:
    """Return an id as it is, and the last part of a path."""
    is_path = spec.startswith(("/", "~", ".")) or "\\" in spec or spec.count("/") > 1 or PurePath(spec).suffix != ""
    return PurePath(spec.replace("\\", "/")).name if is_path else spec


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"


def _interval(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _number(value: float | None) -> str:
    return NOT_STATED if value is None else f"{value:.2g}"
