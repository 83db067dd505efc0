"""Files that a scan of a folder does not use, by name and number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from eartune.prepare.table import split_named

NUM_NAMED = 5
# they come with most corpora, and hold no speech
_PAPERS = ("readme", "license", "licence", "changelog", "copying", "about", "notice")


def transcripts_left_over(texts: Iterable[Path], root: Path) -> list[str]:
    """Name text files that belong to no recording."""
    left = [path for path in texts if not path.stem.lower().startswith(_PAPERS)]
    return [f"{len(left)} transcripts without a recording are left aside: {_named(left, root)}"] if left else []


def lines_left_over(names: Sequence[str]) -> list[str]:
    """Name lines of LibriSpeech's transcripts whose recordings are not there."""
    shown = ", ".join(names[:NUM_NAMED]) + (", ..." if len(names) > NUM_NAMED else "")
    return [f"{len(names)} lines of *.trans.txt have no recording: {shown}"] if names else []


def tables_left_aside(tables: Sequence[Path], num_recordings: int, root: Path) -> list[str]:
    """Name tables that are not taken since others beside them are meant, and how many recordings only they list."""
    if not tables:
        return []
    only = f"; {num_recordings} recordings are only in them" if num_recordings else ""
    return [f"left aside, as other tables beside them name the splits: {_named(tables, root)}{only}"]


def other_splits_beside(table: Path) -> list[str]:
    """Name the tables beside one that are named after other splits."""
    own = split_named(table.name)
    alike = table.parent.glob(f"*{table.suffix}") if own else ()
    others = sorted(path.name for path in alike if split_named(path.name) not in (None, own))
    if not others:
        return []
    return [
        f"beside {table.name} lie {', '.join(others[:NUM_NAMED])}: give the folder to take these splits as they are"
    ]


def files_left_aside(files: Iterable[Path], root: Path) -> list[str]:
    """Count files that are neither recordings nor transcripts, by their endings."""
    found = [path for path in files if not path.stem.lower().startswith(_PAPERS)]
    if not found:
        return []
    if len(found) <= NUM_NAMED:
        return [f"{len(found)} other files are left aside: {_named(found, root)}"]
    endings = Counter(path.suffix.lower() or "no ending" for path in found)
    shown = ", ".join(f"{ending} {count}" for ending, count in endings.most_common(8))
    return [f"{len(found)} other files are left aside, by ending: {shown}"]


def _named(paths: Iterable[Path], root: Path) -> str:
    names = [path.relative_to(root).as_posix() for path in paths]
    return ", ".join(names[:NUM_NAMED]) + (f", ... ({len(names)})" if len(names) > NUM_NAMED else "")
