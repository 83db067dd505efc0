"""A folder of recordings -> utterances. Transcripts come from, in this order:

- a table (CSV, TSV, JSON) with columns for recording and transcript, such as Hugging Face's metadata.csv; of several
  in one folder, those named after splits are used together: train.csv, dev.csv, test.csv; others beside them are not
  used (Common Voice's validated.tsv)
- LibriSpeech's *.trans.txt, with lines of ID and transcript; the speaker is the first part of the ID
- a text file beside the recording: clip.txt or clip.lab beside clip.wav; the speaker is the folder if recordings are
  one level down in two or more folders, and unknown otherwise

Folders named train, dev, test give the split, at the level where all folders have such names. Recordings are recognised
by their content. Hidden files are ignored; all other files that are not used are reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eartune.audio import AUDIO_SUFFIXES, probe
from eartune.errors import InputError, raise_findings
from eartune.manifest import Manifest, is_table
from eartune.manifest.fields import recording_named
from eartune.manifest.locate import find_recording
from eartune.manifest.read import check_rows
from eartune.manifest.rows import Row
from eartune.prepare.layout import Layout
from eartune.prepare.table import SplitName, split_named, table_rows
from eartune.prepare.unused_files import unused_files, unused_lines, unused_tables, unused_transcripts

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl"})
SIDECAR_SUFFIXES = (".txt", ".lab")
# known not to be recordings, so that they need not be opened
_NO_AUDIO = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".pdf", ".md", ".html", ".xml"}
    | {".zip", ".gz", ".tar", ".tgz", ".7z", ".npy", ".pt", ".safetensors"}
)
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

    A split from the names is in `extra["split"]`. Raises InputError as read_manifest does, and for a folder
    without recordings or with several tables to choose from.
    """
    files = _scan(Path(root))
    layout = Layout.of(files.root, files.recordings)
    rows = [row for table in files.tables for row in table_rows(table, _split_of_table(table, files.tables, layout))]
    listed, listed_unused = _listed(rows), _listed(row for table in files.unused for row in table_rows(table, None))
    transcripts = _read_trans_files(files.trans)
    used: set[Path] = set()
    only_unused = 0
    for recording in files.recordings:
        path = recording.parent.resolve() / recording.name
        if path in listed:
            continue
        transcript = transcripts.get((recording.parent, recording.stem))
        sidecar = next((path for path in _sidecars(recording) if path.is_file()), None)
        if transcript is None and sidecar is None and path in listed_unused:
            only_unused += 1
            continue
        used |= {sidecar} if sidecar is not None else set()
        rows.append((recording.parent, _row(recording, transcript, sidecar, layout, files.tables)))
    manifest = check_rows(rows, default_language=default_language, skip_bad=skip_bad, max_duration_s=max_duration_s)
    names = {(recording.parent, recording.stem) for recording in files.recordings}
    remarks = (
        *layout.remarks,
        *unused_tables(files.unused, only_unused, files.root),
        *unused_transcripts((path for path in files.texts if path not in used), files.root),
        *unused_lines([name for folder, name in transcripts if (folder, name) not in names]),
        *unused_files(files.others, files.root),
    )
    return replace(manifest, remarks=(*manifest.remarks, *remarks))


@dataclass(frozen=True)
class _Files:
    """The files of a folder: recordings, used and unused tables, transcripts, and all others."""

    root: Path
    recordings: list[Path]
    tables: list[Path]
    unused: list[Path]
    trans: list[Path]
    texts: list[Path]
    others: list[Path]


def _scan(root: Path) -> _Files:
    if not root.is_dir():
        raise InputError(f"{root}: {'is not a directory' if root.exists() else 'no such directory'}")
    files = sorted(_walk(root))
    tables = [path for path in files if path.suffix.lower() in TABLE_SUFFIXES and is_table(path)]
    trans = [path for path in files if path.name.endswith(".trans.txt")]
    texts = [path for path in files if path.suffix.lower() in SIDECAR_SUFFIXES and path not in trans]
    read = {*tables, *trans, *texts}
    recordings = [path for path in files if path not in read and _is_recording(path)]
    if not recordings:
        raise InputError(f"{root}: holds no recordings (.wav, .flac, .mp3, .ogg, .opus, .m4a, ...)")
    others = [path for path in files if path not in read and path not in set(recordings)]
    chosen, unused = _choose_tables(tables)
    return _Files(root, recordings, chosen, unused, trans, texts, others)


def _is_recording(path: Path) -> bool:
    """Recognise a recording by its suffix, or, with an unknown suffix, by its content."""
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return True
    if path.suffix.lower() in TABLE_SUFFIXES | _NO_AUDIO:
        return False
    try:
        probe(path)
    except InputError:
        return False
    return True


def _walk(root: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    # a corpus is often a folder of symbolic links to other disks
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = [] if real in seen else [name for name in folders if not _is_hidden(name)]
        if real not in seen:
            yield from (Path(folder) / name for name in names if not _is_hidden(name))
        seen.add(real)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _choose_tables(tables: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Divide tables into used and unused ones. Raises InputError if the choice is ambiguous."""
    used: list[Path] = []
    findings = []
    for folder in dict.fromkeys(table.parent for table in tables):
        here = [table for table in tables if table.parent == folder]
        named = [table for table in here if split_named(table.name)]
        chosen = [table for table in here if table.stem == METADATA] or named or here
        splits = [split_named(table.name) for table in chosen]
        if len(chosen) > 1 and len(set(splits)) < len(splits):
            names = ", ".join(table.name for table in here)
            findings.append(f"{folder}: holds several tables: {names}; give one of them as the source")
        used += chosen
    raise_findings(findings)
    return used, [table for table in tables if table not in used]


def _listed(rows: Iterable[tuple[Path, Row | str]]) -> set[Path]:
    """Return the recordings of the rows."""
    return {
        find_recording(folder, name)
        for folder, row in rows
        if isinstance(row, Row) and (name := recording_named(row.values)) is not None
    }


def _split_of_table(table: Path, tables: Sequence[Path], layout: Layout) -> SplitName | None:
    alone = sum(other.parent == table.parent for other in tables) == 1
    return layout.split_of(table) or (None if alone else split_named(table.name))


def _read_trans_files(paths: Sequence[Path]) -> dict[tuple[Path, str], Row]:
    """Return (folder, ID) -> text and speaker from LibriSpeech's transcript files."""
    transcripts: dict[tuple[Path, str], Row] = {}
    unreadable: list[str] = []
    for path in paths:
        try:
            lines = _read_text(path).split("\n")
        except InputError as error:
            unreadable.append(str(error))
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            name, _, text = line.strip().partition(" ")
            transcripts[path.parent, name] = Row(f"{path}:{number}", {"text": text, "speaker": name.split("-")[0]})
    raise_findings(unreadable)
    return transcripts


def _row(
    recording: Path, transcript: Row | None, sidecar: Path | None, layout: Layout, tables: Sequence[Path]
) -> Row | str:
    if transcript is None and sidecar is None:
        names = " or ".join(recording.with_suffix(suffix).name for suffix in SIDECAR_SUFFIXES)
        tabled = f", and no line in {', '.join(table.name for table in tables)}" if tables else ""
        return f"{recording}: no transcript: no {names} beside it{tabled}"
    if transcript is not None:
        source, values = transcript.source, transcript.values
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
