"""A folder of recordings -> utterances. Transcripts come from, in this order:

- a table (CSV, TSV, JSON) with columns for recording and transcript, such as Hugging Face's metadata.csv; several
  in one folder are taken together only where they are named after splits: train.csv, dev.csv, test.csv
- LibriSpeech's *.trans.txt, with lines of ID and transcript; the speaker is the first part of the ID
- a text file beside the recording: clip.txt or clip.lab beside clip.wav; the speaker is the folder, where
  recordings lie one level down in two or more folders, and unknown elsewhere

Folders named train, dev, test give the split where all folders at the top are named so. What begins with a dot is
left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eartune.audio import AUDIO_SUFFIXES
from eartune.errors import InputError, raise_findings
from eartune.manifest import Manifest, is_table
from eartune.manifest.fields import recording_named
from eartune.manifest.read import check_rows, locate
from eartune.manifest.rows import Row
from eartune.prepare.table import SplitName, split_named, table_rows

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl"})
SIDECAR_SUFFIXES = (".txt", ".lab")
# Hugging Face's audiofolder may hold other tables beside this one.
METADATA = "metadata"


def read_folder(
    root: str | Path,
    *,
    default_language: str | None = None,
    skip_bad: bool = False,
    max_duration_s: float | None = None,
) -> Manifest:
    """Read a folder of recordings and their transcripts, see above; a recording without one is a finding.

    A split given by names stands in `extra["split"]`. Raises InputError as read_manifest does, and for
    a folder without recordings or with several tables of which none is meant.
    """
    files = _scan(Path(root))
    layout = _Layout.of(files)
    rows = [row for table in files.tables for row in table_rows(table, _split_of_table(table, files.tables, layout))]
    listed = {locate(folder, name) for folder, row in rows if (name := _recording_of(row))}
    spoken = _read_trans_files(files.trans)
    for recording in files.recordings:
        if recording.parent.resolve() / recording.name not in listed:
            rows.append((recording.parent, _row(recording, spoken, layout, files.tables)))
    return check_rows(rows, default_language=default_language, skip_bad=skip_bad, max_duration_s=max_duration_s)


@dataclass(frozen=True)
class _Files:
    root: Path
    recordings: list[Path]
    tables: list[Path]
    trans: list[Path]


def _scan(root: Path) -> _Files:
    if not root.is_dir():
        raise InputError(f"{root}: {'is not a directory' if root.exists() else 'no such directory'}")
    files = sorted(_walk(root))
    recordings = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    if not recordings:
        raise InputError(f"{root}: holds no recordings (.wav, .flac, .mp3, .ogg, .opus, .m4a, ...)")
    tables = [path for path in files if path.suffix.lower() in TABLE_SUFFIXES and is_table(path)]
    trans = [path for path in files if path.name.endswith(".trans.txt")]
    return _Files(root, recordings, _meant_tables(tables), trans)


def _walk(root: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    # a corpus is often a folder of links to other disks
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = [] if real in seen else [name for name in folders if not _is_hidden(name)]
        if real not in seen:
            yield from (Path(folder) / name for name in names if not _is_hidden(name))
        seen.add(real)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _meant_tables(tables: Sequence[Path]) -> list[Path]:
    meant, findings = [], []
    for folder in dict.fromkeys(table.parent for table in tables):
        here = [table for table in tables if table.parent == folder]
        here = [table for table in here if table.stem == METADATA] or here
        splits = [split_named(table.name) for table in here]
        if len(here) > 1 and (None in splits or len(set(splits)) < len(splits)):
            names = ", ".join(table.name for table in here)
            findings.append(f"{folder}: holds several tables: {names}; give the one you mean as the source")
        meant += here
    raise_findings(findings)
    return meant


@dataclass(frozen=True)
class _Layout:
    """What the names of folders say: the split at the top, the speaker below."""

    root: Path
    folders_are_splits: bool
    folders_are_speakers: bool

    @classmethod
    def of(cls, files: _Files) -> _Layout:
        folders = [recording.relative_to(files.root).parts[:-1] for recording in files.recordings]
        splits = {split_named(parts[0]) if parts else None for parts in folders}
        folders_are_splits = None not in splits and len(splits) > 1
        below = {parts[folders_are_splits:] for parts in folders}
        folders_are_speakers = sum(len(parts) == 1 for parts in below) > 1
        return cls(files.root, folders_are_splits, folders_are_speakers)

    def split_of(self, path: Path) -> SplitName | None:
        return split_named(path.relative_to(self.root).parts[0]) if self.folders_are_splits else None

    def speaker_of(self, recording: Path) -> str | None:
        parts = recording.relative_to(self.root).parts[self.folders_are_splits : -1]
        return parts[0] if self.folders_are_speakers and len(parts) == 1 else None


def _split_of_table(table: Path, tables: Sequence[Path], layout: _Layout) -> SplitName | None:
    alone = sum(other.parent == table.parent for other in tables) == 1
    return layout.split_of(table) or (None if alone else split_named(table.name))


def _recording_of(row: Row | str) -> str | None:
    return recording_named(row.values) if isinstance(row, Row) else None


def _read_trans_files(paths: Sequence[Path]) -> dict[tuple[Path, str], Row]:
    """Return (folder, ID) -> what LibriSpeech's transcript file says of it."""
    spoken: dict[tuple[Path, str], Row] = {}
    unreadable: list[str] = []
    for path in paths:
        try:
            lines = _read_text(path).split("\n")
        except InputError as error:
            unreadable.append(str(error))
            continue
        for number, line in enumerate(lines, start=1):
            name, _, text = line.strip().partition(" ")
            spoken[path.parent, name] = Row(f"{path}:{number}", {"text": text, "speaker": name.split("-")[0]})
    raise_findings(unreadable)
    return spoken


def _row(recording: Path, spoken: Mapping[tuple[Path, str], Row], layout: _Layout, tables: Sequence[Path]) -> Row | str:
    said = spoken.get((recording.parent, recording.stem))
    sidecar = next((path for path in _sidecars(recording) if path.is_file()), None)
    if said is None and sidecar is None:
        names = " or ".join(recording.with_suffix(suffix).name for suffix in SIDECAR_SUFFIXES)
        tabled = f", and no line in {', '.join(table.name for table in tables)}" if tables else ""
        return f"{recording}: no transcript: no {names} beside it{tabled}"
    if said is not None:
        source, values = said.source, said.values
    else:
        assert sidecar is not None
        try:
            source, values = str(sidecar), {"text": _read_text(sidecar), "speaker": layout.speaker_of(recording)}
        except InputError as error:
            return str(error)
    return Row(source, {"audio": recording.name, **values, "split": layout.split_of(recording)})


def _sidecars(recording: Path) -> Iterator[Path]:
    for suffix in SIDECAR_SUFFIXES:
        yield recording.with_suffix(suffix)
        yield recording.with_name(recording.name + suffix)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
