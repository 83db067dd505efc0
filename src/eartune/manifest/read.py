"""Manifests in any format -> utterances, each checked against its recording; all findings are reported together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eartune.audio import AudioInfo, is_far_off, probe
from eartune.errors import InputError, raise_findings
from eartune.languages import language_code, unknown_language
from eartune.manifest.fields import Fields, read_fields
from eartune.manifest.locate import exists, find_recording
from eartune.manifest.remarks import remarks_on
from eartune.manifest.rows import Row, read_rows
from eartune.manifest.timed_text import place_segments
from eartune.manifest.times import Stretch
from eartune.manifest.utterance import Manifest, Utterance

# Probing a cached header takes 0.05 ms, nearly all of it Python code, which threads slow down; they help on slow disks.
SLOW_DISK_S = 0.001
FIRST_PROBES = 64
PROBE_THREADS = 16

SKIP_ADVICE = "Fix these rows, or skip them with skip_bad (--skip-bad)."


@dataclass(frozen=True, slots=True)
class _Draft:
    """A row with valid fields, before its recording is probed."""

    source: str
    fields: Fields
    folder: Path


def read_manifest(
    paths: str | Path | Sequence[str | Path],
    *,
    default_language: str | None = None,
    skip_bad: bool = False,
    max_duration_s: float | None = None,
) -> Manifest:
    """Read manifests, in order, into one: NeMo and Hugging Face JSON lines, JSON lists, CSV or TSV.

    Paths of recordings are relative to the manifest's folder, or to the working directory. Whole recordings get the
    duration of their file; a declared one may differ by 0.5 s or 5 %. Languages become ISO 639-1 codes, and rows
    without one get `default_language`.

    Raises InputError with all findings, each 'file:line: ...'. `skip_bad` skips bad rows instead and returns the
    findings in `skipped`; an unreadable file remains an error, and so does a manifest without a single good row.
    """
    # checked first, as reading may take a while
    language = _checked_language(default_language)
    files = [Path(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
    return check_rows(read_all_rows(files), default_language=language, skip_bad=skip_bad, max_duration_s=max_duration_s)


def read_all_rows(paths: Sequence[Path]) -> list[tuple[Path, Row | str]]:
    """Return (folder that audio paths are relative to, row or finding); raise InputError with all unreadable files."""
    rows: list[tuple[Path, Row | str]] = []
    unreadable: list[str] = [] if paths else ["no manifest is given"]
    for path in paths:
        folder = path.parent.resolve()
        try:
            rows += [(folder, row) for row in read_rows(path)]
        except InputError as error:
            unreadable.append(str(error))
    raise_findings(unreadable)
    return rows


def check_rows(
    rows: Sequence[tuple[Path, Row | str]],
    *,
    default_language: str | None = None,
    skip_bad: bool = False,
    max_duration_s: float | None = None,
) -> Manifest:
    """Convert rows to utterances, each checked against its recording; see read_manifest."""
    language = _checked_language(default_language)
    drafts_or_findings = [_draft(folder, row) for folder, row in rows]
    recordings = _probe_all(draft for draft in drafts_or_findings if isinstance(draft, _Draft))
    first_channel = _first_channel(drafts_or_findings, recordings)
    utterances: list[Utterance] = []
    findings: list[str] = []
    for draft in drafts_or_findings:
        if isinstance(draft, str):
            findings.append(draft)
            continue
        recording = recordings[draft.folder, draft.fields.audio]
        utterance = _utterance(draft, recording, language, max_duration_s, first_channel)
        if isinstance(utterance, str):
            findings.append(f"{draft.source}: {utterance}")
        else:
            utterances.append(utterance)
    if findings and not (skip_bad and utterances):
        summary = f"{len(findings)} of {len(rows)} rows cannot be used:"
        raise_findings(findings, summary=summary, advice="" if skip_bad else SKIP_ADVICE)
    counted_from_1 = ["no row has channel 0, so 1 is read as the first channel"] if first_channel else []
    return Manifest(tuple(utterances), tuple(findings), (*remarks_on(utterances), *counted_from_1))


def _checked_language(name: str | None) -> str | None:
    if name is None:
        return None
    code = language_code(name)
    if code is None:
        raise InputError(unknown_language(name))
    return code


def _draft(folder: Path, row: Row | str) -> _Draft | str:
    if isinstance(row, str):
        return row
    fields = read_fields(row.values)
    if isinstance(fields, Fields):
        return _Draft(row.source, fields, folder)
    return f"{row.source}: {'; '.join(fields)}"


@dataclass(frozen=True, slots=True)
class _Recording:
    path: Path
    info: AudioInfo


def _probe_all(drafts: Iterable[_Draft]) -> dict[tuple[Path, str], _Recording | str]:
    """Locate and probe each recording once; one that cannot be used has a finding in its place."""
    names = list(dict.fromkeys((draft.folder, draft.fields.audio) for draft in drafts))
    start_s = time.perf_counter()
    probed = [_probe(*name) for name in names[:FIRST_PROBES]]
    rest = names[FIRST_PROBES:]
    if time.perf_counter() - start_s > SLOW_DISK_S * FIRST_PROBES:
        with ThreadPoolExecutor(PROBE_THREADS) as pool:
            probed += pool.map(lambda name: _probe(*name), rest)
    else:
        probed += [_probe(*name) for name in rest]
    return dict(zip(names, probed, strict=True))


def _probe(folder: Path, audio: str) -> _Recording | str:
    path = find_recording(folder, audio)
    try:
        return _Recording(path, probe(path))
    except InputError as error:
        return f"{error}{'' if exists(path) else _hint(folder, audio)}"


def _hint(folder: Path, audio: str) -> str:
    name = audio.replace("\\", "/").split("/")[-1]
    return f"; a file of that name is beside the manifest: write {name!r}" if exists(folder / name) else ""


def _first_channel(
    drafts: Sequence[_Draft | str], recordings: Mapping[tuple[Path, str], _Recording | str]
) -> Literal[0, 1]:
    """Return 1 if the rows count channels from 1: none is 0, and some row's channel equals its recording's count."""
    named = [
        (draft.fields.channel, recording.info.channels)
        for draft in drafts
        if isinstance(draft, _Draft) and draft.fields.channel is not None
        if isinstance(recording := recordings[draft.folder, draft.fields.audio], _Recording)
    ]
    in_range = all(1 <= channel <= num_channels for channel, num_channels in named)
    return 1 if in_range and any(channel == num_channels for channel, num_channels in named) else 0


def _utterance(
    draft: _Draft,
    recording: _Recording | str,
    default_language: str | None,
    max_duration_s: float | None,
    first_channel: int,
) -> Utterance | str:
    if isinstance(recording, str):
        return recording
    fields = draft.fields
    num_channels = recording.info.channels
    channel = None if fields.channel is None else fields.channel - first_channel
    if channel is not None and channel >= num_channels:
        return f"channel {fields.channel} does not exist: {recording.path.name} has {num_channels}, the first is 0"
    duration_s = _duration_s(fields.stretch, recording)
    if isinstance(duration_s, str):
        return duration_s
    offset_s = fields.stretch.offset_s or 0.0
    segments = place_segments(fields.segments, offset_s=offset_s, duration_s=duration_s)
    if isinstance(segments, str):
        return segments
    if max_duration_s is not None and duration_s > max_duration_s:
        return f"duration {duration_s:.1f} s exceeds max_duration_s {max_duration_s:g}; split it or raise the limit"
    return Utterance(
        audio=recording.path,
        text=fields.text,
        duration_s=duration_s,
        language=fields.language or default_language,
        offset_s=offset_s,
        speaker=fields.speaker,
        source=draft.source,
        extra=fields.extra,
        is_cut=fields.stretch.offset_s is not None,
        channel=channel,
        segments=segments,
        locale=fields.locale,
    )


def _duration_s(stretch: Stretch, recording: _Recording) -> float | str:
    total_s, name = recording.info.duration_s, recording.path.name
    offset_s, declared_s = stretch.offset_s, stretch.duration_s
    if offset_s is None:
        if declared_s is not None and is_far_off(declared_s, total_s):
            return f"duration {declared_s:g} s is declared, and {name} lasts {total_s:.2f} s; give an offset for a part"
        return total_s
    if stretch.declared_s is not None and is_far_off(stretch.declared_s, total_s):
        return (
            f"duration {stretch.declared_s:g} s is declared, and start and end are {declared_s:g} s apart; keep one of"
            " them"
        )
    left_s = total_s - offset_s
    end_s = offset_s + (declared_s or 0.0)
    if left_s <= 0 or (declared_s is not None and declared_s > left_s and is_far_off(left_s, declared_s)):
        # times in milliseconds or samples, read as seconds, are far beyond the end
        advice = "; are these milliseconds? name them start_ms and end_ms" if end_s > 50 * total_s else ""
        if left_s <= 0 or declared_s is None:
            return f"offset {offset_s:g} s is beyond the end of {name}, which lasts {total_s:.2f} s{advice}"
        sum_s = f"offset {offset_s:g} s + duration {declared_s:g} s = {end_s:g} s"
        return f"{sum_s}, and {name} lasts {total_s:.2f} s{advice}"
    return left_s if declared_s is None else min(declared_s, left_s)
