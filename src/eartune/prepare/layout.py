"""Splits and speakers in the folder names of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eartune.prepare.table import SplitName, split_named


@dataclass(frozen=True)
class Layout:
    """Folder levels of a corpus. `split_level` is that of folders named train, dev, test, 0 being the top; None: none.

    `speaker_level` is that of the speakers, not counting the split level. `remarks` report folders named after splits
    that are not used as splits.
    """

    root: Path
    split_level: int | None
    speaker_level: int | None
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path, recordings: Sequence[Path]) -> Layout:
        """Infer the layout from the names of the folders that contain recordings."""
        folders = list(dict.fromkeys(recording.relative_to(root).parts[:-1] for recording in recordings))
        depth = min(map(len, folders), default=0)
        splits = [{split_named(parts[level]) for parts in folders} for level in range(depth)]
        level = next((n for n, found in enumerate(splits) if None not in found and len(found) > 1), None)
        others = [_without(parts, level) for parts in folders]
        shared = next((n for n, names in enumerate(zip(*others, strict=False)) if len(set(names)) > 1), depth)
        below = {parts[shared:] for parts in others}
        are_speakers = sum(len(parts) == 1 for parts in below) > 1
        remarks = () if level is not None else tuple(_half_splits(folders))
        return cls(root, level, shared if are_speakers else None, remarks)

    def split_of(self, path: Path) -> SplitName | None:
        """Return the split of the folder of a recording or table; None if the folders are not splits."""
        parts = path.relative_to(self.root).parts[:-1]
        has_level = self.split_level is not None and self.split_level < len(parts)
        return split_named(parts[self.split_level or 0]) if has_level else None

    def speaker_of(self, recording: Path) -> str | None:
        """Return the name of the recording's folder if the folders are speakers, else None."""
        parts = _without(recording.relative_to(self.root).parts[:-1], self.split_level)
        level = self.speaker_level
        return parts[level] if level is not None and len(parts) == level + 1 else None


def _without(parts: tuple[str, ...], level: int | None) -> tuple[str, ...]:
    return parts if level is None else parts[:level] + parts[level + 1 :]


def _half_splits(folders: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a remark on folders of one level of which only some are named after splits."""
    for level in range(max(map(len, folders), default=0)):
        names = {parts[level] for parts in folders if len(parts) > level}
        named = sorted(name for name in names if split_named(name))
        others = sorted(names - set(named)) + (["."] if any(len(parts) <= level for parts in folders) else [])
        if len({split_named(name) for name in named}) > 1:
            return [
                f"the folders {', '.join(named[:6])} are named after splits, and {', '.join(others[:3])} is not: "
                "they are not used as splits"
            ]
    return []
