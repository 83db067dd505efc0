"""Preparation of a corpus: a folder or table of recordings -> manifests, 16 kHz audio and an audit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eartune.errors import InputError, raise_findings
from eartune.files import clear_leftovers, require_writable, write_texts_together
from eartune.manifest import Manifest, Utterance
from eartune.manifest.read import SKIP_ADVICE, check_rows
from eartune.manifest.remarks import text_remarks
from eartune.manifest.write import manifest_text
from eartune.parsing import JsonObject, read_json
from eartune.prepare.audit import Report, audit, warnings
from eartune.prepare.convert import MeasuredUtterance, Progress, convert_utterances, remove_unused
from eartune.prepare.folder import read_folder
from eartune.prepare.split import Split, check_shares, split_utterances
from eartune.prepare.table import SPLITS, SplitName, table_rows
from eartune.prepare.unused_files import other_splits_beside
from eartune.speech_checks import remarks

AUDIT_FILE = "audit.json"
AUDIO_FOLDER = "audio"
MADE_BY = "eartune prepare"


@dataclass(frozen=True)
class PreparedCorpus:
    """Paths of the manifests (a split without utterances has none), the audit, and notes for the user."""

    manifests: Mapping[SplitName, Path]
    audit: Report
    notes: tuple[str, ...]


def prepare_corpus(
    source: str | Path,
    out: str | Path,
    *,
    language: str | None = None,
    copy_audio: bool = True,
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    skip_bad: bool = False,
    max_duration_s: float | None = None,
    progress: Progress | None = None,
) -> PreparedCorpus:
    """Read a folder or table, convert its audio, split it, and write manifests and an audit.

    `language` is that of rows without one. `copy_audio` writes 16 kHz mono FLAC into out/audio; without it the
    manifests point to the recordings as they are. `splits` are the shares of train, val and test. A repeated call
    converts only recordings that are new, changed or were not yet converted.
    Raises InputError with all findings, unless `skip_bad` skips bad rows.
    """
    source, out = Path(source), Path(out)
    check_shares(splits)
    _check_paths(source, out)
    require_writable(out)
    clear_leftovers(out)
    manifest = _read(source, language=language, skip_bad=skip_bad, max_duration_s=max_duration_s)
    if not any(utterance.text for utterance in manifest.utterances):
        raise InputError(f"{source}: no row has a text, so there is nothing to train on; add transcripts")
    # split before the conversion, so that rows it drops do not move others between splits
    split = split_utterances(manifest.utterances, shares=splits, seed=seed)
    audio = out.resolve() / AUDIO_FOLDER if copy_audio else None
    base = source.resolve() if source.is_dir() else source.resolve().parent
    results = convert_utterances(manifest.utterances, audio, base=base, progress=progress)
    damaged = [result for result in results if isinstance(result, str)]
    if damaged and not (skip_bad and len(damaged) < len(results)):
        summary = f"{len(damaged)} of {len(results)} recordings cannot be used:"
        raise_findings(damaged, summary=summary, advice="" if skip_bad else SKIP_ADVICE)
    parts = _measured_parts(manifest.utterances, results, split)
    measured = [result for result in results if isinstance(result, MeasuredUtterance)]
    sound_remarks = remarks([m.utterance for m in measured], [m.loudness for m in measured])
    notes = (*split.notes, *manifest.remarks, *text_remarks(manifest.utterances), *sound_remarks)
    report = audit(parts, [*manifest.skipped, *damaged], notes)
    manifests = _write(out, parts, {"made_by": MADE_BY, "source": str(source), "seed": seed, **report})
    if audio is not None:
        remove_unused(audio, {measured.utterance.audio for part in parts.values() for measured in part})
    return PreparedCorpus(manifests, report, (*notes, *warnings(report)))


def _check_paths(source: Path, out: Path) -> None:
    if not source.exists():
        raise InputError(f"{source}: no such file or directory")
    read, written = source.resolve(), out.resolve()
    if source.is_dir() and (written.is_relative_to(read) or read.is_relative_to(written / AUDIO_FOLDER)):
        raise InputError(f"{out}: one of the output and the source {source} contains the other; choose another place")
    present = [path for split in SPLITS if (path := written / f"{split}.jsonl").exists()]
    if read in present:
        raise InputError(f"{out}: the output would overwrite the source {source}; choose another place")
    if present and not _is_ours(out):
        names = ", ".join(path.name for path in present)
        raise InputError(f"{out}: holds {names}, which eartune prepare did not write; choose another place")


def _is_ours(out: Path) -> bool:
    try:
        report = read_json(out / AUDIT_FILE, JsonObject)
    except InputError:
        return False
    return report.get("made_by") == MADE_BY


def _read(source: Path, *, language: str | None, skip_bad: bool, max_duration_s: float | None) -> Manifest:
    if source.is_dir():
        return read_folder(source, default_language=language, skip_bad=skip_bad, max_duration_s=max_duration_s)
    manifest = check_rows(
        table_rows(source, None), default_language=language, skip_bad=skip_bad, max_duration_s=max_duration_s
    )
    return replace(manifest, remarks=(*manifest.remarks, *other_splits_beside(source)))


def _measured_parts(
    originals: Sequence[Utterance], results: Sequence[MeasuredUtterance | str], split: Split
) -> dict[SplitName, list[MeasuredUtterance]]:
    measured = {
        id(original): result
        for original, result in zip(originals, results, strict=True)
        if isinstance(result, MeasuredUtterance)
    }
    return {name: [measured[id(u)] for u in part if id(u) in measured] for name, part in split.utterances.items()}


def _write(out: Path, parts: Mapping[SplitName, Sequence[MeasuredUtterance]], report: Report) -> dict[SplitName, Path]:
    manifests = {split: out / f"{split}.jsonl" for split, part in parts.items() if part}
    texts = {path: manifest_text(path, [m.utterance for m in parts[split]]) for split, path in manifests.items()}
    texts[out / AUDIT_FILE] = json.dumps(report, ensure_ascii=False, indent=2) + "\n"
    write_texts_together(texts, remove=[out / f"{split}.jsonl" for split in SPLITS])
    return manifests
