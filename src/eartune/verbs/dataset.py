"""The speech of a training run: read, and checked against the model it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eartune.config.sections import DataSection
from eartune.errors import InputError, raise_findings
from eartune.families.registry import vocabulary
from eartune.manifest import Manifest, Utterance, read_manifest
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

# of the characters that were added
NUM_SHOWN = 40


@dataclass(frozen=True)
class TrainingSpeech:
    """Utterances that can be used, a description of them for origin.json, and what is odd about them."""

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
        raise InputError(f"{options.train[0]}: no row has a text, so there is nothing to learn from")
    for manifest in manifests:
        tell_left_out("rows that cannot be used", manifest.skipped, report)
    return manifests[0], manifests[1] if options.val else None


def tell_left_out(what: str, findings: Sequence[str], report: Reporter) -> None:
    """Say how many were left out, and show the first, so that nothing goes missing unseen."""
    for remark in left_out(what, findings):
        report.line(remark)


def left_out(what: str, findings: Sequence[str]) -> list[str]:
    """Return a sentence about what was left out, or none."""
    return [f"left out {len(findings)} {what}, the first: {findings[0]}"] if findings else []


def check_speech(
    options: DataSection, model: SpeechModel, manifests: tuple[Manifest, Manifest | None], report: Reporter
) -> TrainingSpeech:
    """Check every utterance against the limits of the model. Raises InputError with all findings."""
    told = model.describe_texts(manifests[0].utterances)
    if told is not None:
        report.line(told)
    kept: list[tuple[Utterance, ...]] = []
    findings: list[str] = []
    odd: list[list[str]] = []
    for manifest in manifests:
        utterances = manifest.utterances if manifest is not None else ()
        checked = check_recordings(utterances, model.findings(utterances), report)
        reasons = checked.findings
        findings += [f"{u.source}: {reason}" for u, reason in zip(utterances, reasons, strict=True) if reason]
        kept.append(tuple(u for u, reason in zip(utterances, reasons, strict=True) if reason is None))
        odd.append([*checked.remarks, *cuts_remark(kept[-1])])
    if findings and not options.skip_bad:
        raise_findings(findings, summary="These utterances cannot be used:", advice="--skip-bad leaves them out.")
    tell_left_out("utterances that cannot be used", findings, report)
    raise_findings([] if kept[0] else [f"{options.train[0]}: no utterance is left to train on"])
    train_speech, validation = manifests
    description = {"train": describe_data(kept[0], options.train, skipped=_skipped(train_speech, kept[0]))}
    if validation is not None:
        description["val"] = describe_data(kept[1], options.val, skipped=_skipped(validation, kept[1]))
    for name, facts in description.items():
        report.line(f"{name}: {facts.utterances} utterances, {clock(facts.seconds)} of speech")
    leaks = leak_notes({"train": kept[0], "val": kept[1]})
    told_last = tuple(
        f"{name}: {remark}"
        for name, manifest, utterances, found in zip(("train", "val"), manifests, kept, odd, strict=True)
        if manifest is not None
        for remark in (*manifest.remarks, *model.remarks(utterances), *found)
    ) + tuple(leaks)
    for remark in told_last:
        report.line(remark)
    return TrainingSpeech(kept[0], kept[1], description, told_last)


@dataclass(frozen=True)
class CheckedRecordings:
    """What forbids the use of each utterance, if anything, and what is odd about those that can be used."""

    findings: tuple[str | None, ...]
    remarks: tuple[str, ...]


def check_recordings(
    utterances: Sequence[Utterance], reasons: Sequence[str | None], report: Reporter
) -> CheckedRecordings:
    """Hold texts against lengths, and look at recordings: what eartune prepare wrote carries what it measured.

    `reasons` are those for which utterances cannot be used anyway.
    """
    findings = [reason or text_finding(u) for u, reason in zip(utterances, reasons, strict=True)]
    usable = [index for index, reason in enumerate(findings) if reason is None]
    candidates = [utterances[index] for index in usable]
    if not candidates:
        return CheckedRecordings(tuple(findings), ())
    with report.task("looking at recordings", len(candidates)) as task:
        measured = measure_utterances(candidates, progress=task.jump)
    if measured.num_measured < len(candidates):
        told = (
            f"of {len(candidates)} recordings, {measured.num_measured} were looked at for silence, scale and channels"
        )
        report.line(told)
    for index, finding in zip(usable, measured.findings, strict=True):
        findings[index] = finding
    kept = [
        (u, loudness) for u, loudness, f in zip(candidates, measured.loudness, measured.findings, strict=True) if not f
    ]
    of, loudness_of = [u for u, _ in kept], [loudness for _, loudness in kept]
    return CheckedRecordings(tuple(findings), (*remarks(of, loudness_of), *level_remarks(of, loudness_of)))


def extend_vocabulary(model: SpeechModel, utterances: Sequence[Utterance], report: Reporter) -> str:
    """Give the model tokens for the characters of texts to learn that it lacks, and return these characters."""
    family_module = vocabulary(model.family)
    added = family_module.lacking(model, utterances)
    if not added:
        report.line("extend_vocabulary: the tokenizer has a token for every character, so none is added")
        return added
    family_module.extend(model, added)
    shown = " ".join(added[:NUM_SHOWN]) + (" ..." if len(added) > NUM_SHOWN else "")
    report.line(f"extend_vocabulary: {len(added)} characters get tokens of their own: {shown}")
    return added


def _skipped(manifest: Manifest, kept: tuple[Utterance, ...]) -> int:
    return len(manifest.skipped) + len(manifest.utterances) - len(kept)
