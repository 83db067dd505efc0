"""Training and validation data: read from manifests and checked against the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eartune.config.sections import DataSection
from eartune.errors import InputError, raise_findings
from eartune.families.registry import vocabulary
from eartune.manifest import Manifest, Utterance, read_manifest
from eartune.manifest.remarks import require_words
from eartune.model import SpeechModel
from eartune.origin import DataRecord, describe_data
from eartune.prepare.split import leak_notes
from eartune.reporting import Reporter, clock
from eartune.speech_checks import (
    cuts_remark,
    level_remarks,
    measure_utterances,
    remarks,
    text_finding,
)

# at most so many added characters are printed
NUM_SHOWN = 40


@dataclass(frozen=True)
class TrainingSpeech:
    """Usable utterances, their description for origin.json, and remarks on anything unusual in them."""

    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    description: dict[str, DataRecord]
    remarks: tuple[str, ...]


def read_speech(options: DataSection, report: Reporter) -> tuple[Manifest, Manifest | None]:
    """Read the manifests to train and to validate on. Raises InputError with the findings of both."""
    settings: dict[str, Any] = {
        "default_language": options.language,
        "skip_bad": options.skip_bad,
        "max_duration_s": options.max_duration,
    }
    manifests: list[Manifest] = []
    failures: list[str] = []
    for paths in filter(None, (options.train, options.val)):
        try:
            manifests.append(read_manifest(paths, **settings))
        except InputError as error:
            failures.append(str(error))
    if failures:
        raise InputError("\n".join(failures))
    if not any(utterance.text for utterance in manifests[0].utterances):
        raise InputError(f"{options.train[0]}: no row has a text, so there is nothing to train on")
    for manifest in manifests:
        report_left_out("rows that cannot be used", manifest.skipped, report)
    return manifests[0], manifests[1] if options.val else None


def report_left_out(kind: str, findings: Sequence[str], report: Reporter) -> None:
    """Report how many items were left out, and the first, so that no data is dropped silently."""
    for remark in left_out(kind, findings):
        report.line(remark)


def left_out(kind: str, findings: Sequence[str]) -> list[str]:
    """Return a sentence on the items left out, or an empty list."""
    return [f"left out {len(findings)} {kind}, the first: {findings[0]}"] if findings else []


def check_speech(
    options: DataSection, model: SpeechModel, manifests: tuple[Manifest, Manifest | None], report: Reporter
) -> TrainingSpeech:
    """Check every utterance against the limits of the model. Raises InputError with all findings."""
    require_words(manifests[0].utterances)
    coverage = model.describe_texts(manifests[0].utterances)
    if coverage is not None:
        report.line(coverage)
    kept: list[tuple[Utterance, ...]] = []
    findings: list[str] = []
    data_remarks: list[list[str]] = []
    for manifest in manifests:
        utterances = manifest.utterances if manifest is not None else ()
        checked = check_recordings(utterances, model.findings(utterances), report)
        reasons = checked.findings
        findings += [f"{u.source}: {reason}" for u, reason in zip(utterances, reasons, strict=True) if reason]
        kept.append(tuple(u for u, reason in zip(utterances, reasons, strict=True) if reason is None))
        data_remarks.append([*checked.remarks, *cuts_remark(kept[-1])])
    if findings and not options.skip_bad:
        raise_findings(findings, summary="These utterances cannot be used:", advice="--skip-bad leaves them out.")
    report_left_out("utterances that cannot be used", findings, report)
    raise_findings([] if kept[0] else [f"{options.train[0]}: no utterance is left to train on"])
    train_speech, validation = manifests
    description = {"train": describe_data(kept[0], options.train, skipped=_skipped(train_speech, kept[0]))}
    if validation is not None:
        description["val"] = describe_data(kept[1], options.val, skipped=_skipped(validation, kept[1]))
    for name, facts in description.items():
        report.line(f"{name}: {facts.utterances} utterances, {clock(facts.seconds)} of speech")
    leaks = leak_notes({"train": kept[0], "val": kept[1]})
    all_remarks = tuple(
        f"{name}: {remark}"
        for name, manifest, utterances, found in zip(("train", "val"), manifests, kept, data_remarks, strict=True)
        if manifest is not None
        for remark in (*manifest.remarks, *model.remarks(utterances), *found)
    ) + tuple(leaks)
    for remark in all_remarks:
        report.line(remark)
    return TrainingSpeech(kept[0], kept[1], description, all_remarks)


@dataclass(frozen=True)
class CheckedRecordings:
    """For each utterance why it cannot be used, or None, and remarks on the usable ones."""

    findings: tuple[str | None, ...]
    remarks: tuple[str, ...]


def check_recordings(
    utterances: Sequence[Utterance], reasons: Sequence[str | None], report: Reporter
) -> CheckedRecordings:
    """Check text lengths against durations, and recordings; files from eartune prepare carry its measurements.

    `reasons` are findings made before; an utterance that has one is not checked again.
    """
    findings = [reason or text_finding(u) for u, reason in zip(utterances, reasons, strict=True)]
    usable = [index for index, reason in enumerate(findings) if reason is None]
    candidates = [utterances[index] for index in usable]
    if not candidates:
        return CheckedRecordings(tuple(findings), ())
    with report.task("checking recordings", len(candidates)) as task:
        measured = measure_utterances(candidates, progress=task.jump)
    if measured.num_measured < len(candidates):
        report.line(f"checked {measured.num_measured} of {len(candidates)} recordings for silence, scale and channels")
    for index, finding in zip(usable, measured.findings, strict=True):
        findings[index] = finding
    kept = [
        (u, loudness) for u, loudness, f in zip(candidates, measured.loudness, measured.findings, strict=True) if not f
    ]
    usable_utterances, loudness = [u for u, _ in kept], [level for _, level in kept]
    found = (*remarks(usable_utterances, loudness), *level_remarks(usable_utterances, loudness))
    return CheckedRecordings(tuple(findings), found)


def extend_vocabulary(model: SpeechModel, utterances: Sequence[Utterance], report: Reporter) -> str:
    """Add tokens for the characters of the transcripts that the tokenizer lacks, and return these characters."""
    family_module = vocabulary(model.family)
    added = family_module.lacking(model, utterances)
    if not added:
        report.line("vocabulary: the tokenizer has a token for every character, so none is added")
        return added
    family_module.extend(model, added)
    shown = " ".join(added[:NUM_SHOWN]) + (" ..." if len(added) > NUM_SHOWN else "")
    report.line(f"vocabulary: {len(added)} characters get tokens of their own: {shown}")
    return added


def _skipped(manifest: Manifest, kept: tuple[Utterance, ...]) -> int:
    return len(manifest.skipped) + len(manifest.utterances) - len(kept)
