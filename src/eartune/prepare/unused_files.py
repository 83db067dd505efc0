"""Remarks on files that a scan of a folder does not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from eartune.prepare.table import split_named

NUM_NAMED = 5
# texts about a corpus, which are not reported
_DOCUMENTS = ("readme", "license", "licence", "changelog", "copying", "about", "notice")


def unused_transcripts(texts: Iterable[Path], root: Path) -> list[str]:
    """Return a remark on text files without a recording."""
    unused = [path for path in texts if not path.stem.lower().startswith(_DOCUMENTS)]
    return [f"{len(unused)} transcripts without a recording are not used: {_named(unused, root)}"] if unused else []


def unused_lines(names: Sequence[str]) -> list[str]:
    """Return a remark on lines of LibriSpeech's transcript files without a recording."""
    shown = ", ".join(names[:NUM_NAMED]) + (", ..." if len(names) > NUM_NAMED else "")
    return [f"{len(names)} lines of *.trans.txt have no recording: {shown}"] if names else []


def unused_tables(tables: Sequence[Path], num_recordings: int, root: Path) -> list[str]:
    """Return a remark on tables beside those of the splits, with the number of recordings that only they list."""
    if not tables:
        return []
    only = f"; {num_recordings} recordings are only in them" if num_recordings else ""
    return [f"not used, as other tables beside them are named after splits: {_named(tables, root)}{only}"]


def other_splits_beside(table: Path) -> list[str]:
    """Return a remark on tables beside one that are named after other splits."""
    own = split_named(table.name)
    same_type = table.parent.glob(f"*{table.suffix}") if own else ()
    others = sorted(path.name for path in same_type if split_named(path.name) not in (None, own))
    if not others:
        return []
    return [f"beside {table.name} are {', '.join(others[:NUM_NAMED])}: give the folder to keep these splits"]


def unused_files(files: Iterable[Path], root: Path) -> list[str]:
    """Return a remark on files that are neither recordings nor transcripts, with their number by suffix."""
    found = [path for path in files if not path.stem.lower().startswith(_DOCUMENTS)]
    if not found:
        return []
    if len(found) <= NUM_NAMED:
        return [f"{len(found)} other files are not used: {_named(found, root)}"]
    suffixes = Counter(path.suffix.lower() or "no suffix" for path in found)
    shown = ", ".join(f"{suffix} {count}" for suffix, count in suffixes.most_common(8))
    return [f"{len(found)} other files are not used, by suffix: {shown}"]


def _named(paths: Iterable[Path], root: Path) -> str:
    names = [path.relative_to(root).as_posix() for path in paths]
    return ", ".join(names[:NUM_NAMED]) + (f", ... ({len(names)})" if len(names) > NUM_NAMED else "")
