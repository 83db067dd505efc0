"""README.md of an export: the model card, from what is on record, and nothing that is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from eartune.export.usage import Usage
from eartune.parsing import dump_yaml

CARD = "README.md"
NOT_STATED = "not stated"
LIBRARIES = {"hf": "transformers", "nemo": "nemo", "ctranslate2": "ctranslate2", "onnx": "onnx", "ggml": "whisper.cpp"}
MEBIBYTE = 2**20


def card(
    record: Mapping[str, Any],
    *,
    title: str,
    usages: Sequence[Usage],
    evaluations: Mapping[str, Mapping[str, Any]],
    license_id: str | None = None,
    data_notes: str | None = None,
) -> str:
    """Return the card as Markdown with the hub's header.

    `evaluations` are scores.json by the name of what was measured; `data_notes` says where the speech is from and what
    its licence allows. Paths are named by their last part: where a file lies on some machine concerns nobody.
    """
    source = record["made_from"]
    sections = [
        _header(record, license_id),
        f"# {title}\n",
        _summary(record, source),
        _how_to_run(usages),
        _metrics(evaluations),
        _parity(record),
        _data(source, data_notes),
        _configuration(source),
        _licences(license_id, data_notes),
    ]
    return "\n".join(section for section in sections if section)


def _header(record: Mapping[str, Any], license_id: str | None) -> str:
    base = record["made_from"]["base_model"]
    facts = {
        "pipeline_tag": "automatic-speech-recognition",
        "library_name": LIBRARIES.get(record["format"]),
        "language": record["language"],
        "license": license_id,
        # the hub takes ids only
        "base_model": base["spec"] if base.get("kind") == "hub" else None,
        "tags": [record["family"], "eartune"],
    }
    shown = {name: value for name, value in facts.items() if value}
    return f"---\n{dump_yaml(shown)}---\n"


def _summary(record: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    base = source["base_model"]
    method = source.get("method")
    told = f"{_name(base['spec'])} (weights sha256 `{base['sha256'][:16]}…`)"
    tuned = f"by {method}, checkpoint `{source['checkpoint']}`" if method else "no, or not on record"
    lines = [
        f"- base model: {told}",
        f"- tuned: {tuned}",
        f"- language: {record['language'] or 'detected'}; task: {record['task']}",
        f"- format: {record['format']}, {record['quantization']}; written by eartune {record['eartune']}",
    ]
    files = [f"| `{f['name']}` | {f['size_bytes'] / MEBIBYTE:.1f} MiB | `{f['sha256']}` |" for f in record["files"]]
    return "\n".join([*lines, "", "| file | size | sha256 |", "|---|---|---|", *files, ""])


def _how_to_run(usages: Sequence[Usage]) -> str:
    blocks = [f"With {each.program}:\n\n```{each.syntax}\n{each.text}```\n" for each in usages]
    return "\n".join(["## How to run it\n", *blocks]) if blocks else ""


def _metrics(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["## Error rates\n"]
    if not evaluations:
        lines.append("Not measured on test speech: `eartune evaluate RUN --data test.jsonl`, then export again.\n")
        return "\n".join(lines)
    lines += ["| speech | utterances | model | WER (95 % interval) | CER (95 % interval) |", "|---|---|---|---|---|"]
    for name, scores in evaluations.items():
        for who, key in (("base", "base_scores"), ("tuned", "scores")):
            if scores.get(key):
                found = scores[key]
                unit = found.get("unit", "word")
                speech = name if unit == "word" else f"{name} (WER per {unit})"
                rates = (_measured(found[k], found[f"{k}_interval_95"]) for k in ("wer", "cer"))
                lines.append(f"| {speech} | {found['num_utterances']} | {who} | {' | '.join(rates)} |")
    return "\n".join([*lines, ""])


def _measured(rate: float | None, interval: Sequence[float] | None) -> str:
    return "no reference words" if rate is None or interval is None else f"{_percent(rate)} ({_interval(interval)})"


def _parity(record: Mapping[str, Any]) -> str:
    lines = ["## Whether this file says what the model says\n"]
    parity, runtime = record["parity"], record["runtime"]
    if parity is None:
        return "\n".join([*lines, f"Not tried in {runtime['program']}: {record['skipped']}.\n"])
    words, cost, long = parity["words"], parity["words"]["cost"], parity["long_recording"]
    rows = {
        f"WER of the model / of this file, {words['num_utterances']} utterances": (
            f"{_percent(words['model_wer'])} ({_interval(words['model_wer_interval_95'])}) / "
            f"{_percent(words['artefact_wer'])} ({_interval(words['artefact_wer_interval_95'])})"
        ),
        "words that differ between the two": _percent(words["between_wer"]),
        "sentences that differ": f"{words['num_differing']} of {words['num_utterances']}",
        "distance of the first logits": _number(parity["logit_distance"]),
        "seconds to load": f"{cost['load_s']:.1f}",
        "seconds for a second of speech": f"{cost['real_time_factor']:.2f}",
        "memory": f"{cost['peak_memory_bytes'] / MEBIBYTE:.0f} MiB" if cost["peak_memory_bytes"] else NOT_STATED,
        "size": f"{cost['size_bytes'] / MEBIBYTE:.0f} MiB",
    }
    for who, found in (("this file", long["artefact"]), ("the model", long["model"]), ("its base", long["base_model"])):
        if found:
            again = found.get("num_fallbacks")
            told = "" if again is None else f"; {again} windows decoded again"
            rows[f"a long recording, {who}"] = f"{found['verdict']}{told}"
    table = [f"| {name} | {value} |" for name, value in rows.items()]
    program = f"{runtime['program']} ({runtime['package']} {runtime['version']})"
    sample = f"Measured in {program} on a CPU, with a sample of {record['sample']['what']}.\n"
    return "\n".join([*lines, sample, "| | |", "|---|---|", *table, ""])


def _data(source: Mapping[str, Any], notes: str | None) -> str:
    data = source.get("data") or {}
    lines = ["## Speech it was tuned on\n", "| | manifests | utterances | hours | sha256 |", "|---|---|---|---|---|"]
    for split, facts in data.items():
        names = ", ".join(_name(path) for path in facts["manifests"])
        hours = facts["seconds"] / 3600
        lines.append(f"| {split} | {names} | {facts['utterances']} | {hours:.2f} | `{facts['sha256'][:16]}…` |")
    if not data:
        lines = ["## Speech it was tuned on\n", "Not on record."]
    return "\n".join([*lines, "", f"{notes or 'Where it is from, and what its licence allows: ' + NOT_STATED + '.'}\n"])


def _configuration(source: Mapping[str, Any]) -> str:
    config = dict(_public(source.get("config") or {}))
    if not config:
        return ""
    shown = dump_yaml(config)
    return f"## Configuration\n\n<details><summary>all settings</summary>\n\n```yaml\n{shown}```\n\n</details>\n"


def _licences(license_id: str | None, notes: str | None) -> str:
    told = license_id or f"{NOT_STATED}; the base model's own licence binds what is made of it"
    return f"## Licences\n\nThis model: {told}. The speech: {'see above' if notes else NOT_STATED}.\n"


def _public(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Leave out what is not set, and of paths all but the name."""
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
