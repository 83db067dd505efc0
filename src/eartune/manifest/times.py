"""Stretch of a recording, from the start, end, offset and duration of a row under any name and in any unit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eartune.audio import is_far_off
from eartune.errors import shown
from eartune.manifest.columns import Columns, Role

_CLOCK = re.compile(r"\s*(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d+)?)\s*")
# dates of recording are not times in a recording
_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
# NeMo reads from an offset to the end of the recording; other start columns need an end
_TO_THE_END = "offset"


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `offset_s` for `duration_s`; None: the whole recording, and until its end.

    `declared_s` is a duration that differs from end - start, and so must be that of the whole recording.
    """

    offset_s: float | None = None
    duration_s: float | None = None
    declared_s: float | None = None


def read_stretch(values: Mapping[str, Any], columns: Columns, problems: list[str]) -> tuple[Stretch, set[str]]:
    """Return the stretch of a row, and the columns it was read from."""
    used = {role: _used(values, columns, role) for role in ("start", "end", "duration")}
    start_s, end_s, duration_s = (
        None if name is None else _seconds(values, columns, name, problems) for name in used.values()
    )
    names = {name for name in used.values() if name is not None}
    if duration_s is not None and not 0 < duration_s < math.inf:
        problems.append(f"duration {duration_s:g} s is not positive and finite; if it is left out, it is measured")
    if start_s is not None and not 0 <= start_s < math.inf:
        problems.append(f"{used['start']} {start_s:g} s is not a position in a recording")
    if end_s is not None and not (start_s or 0.0) < end_s < math.inf:
        problems.append(f"end {end_s:g} s is not after start {start_s or 0.0:g} s")
    if start_s is not None and end_s is None and duration_s is None and used["start"] != _TO_THE_END and not problems:
        problems.append(f"{used['start']} gives the start of the speech, and no column gives its end; add a column end")
    if problems or end_s is None:
        return Stretch(start_s, duration_s), names
    length_s = end_s - (start_s or 0.0)
    contradicts = duration_s is not None and is_far_off(duration_s, length_s)
    return Stretch(start_s or 0.0, length_s, duration_s if contradicts else None), names


def _used(values: Mapping[str, Any], columns: Columns, role: Role) -> str | None:
    name = columns.filled(values, role)
    is_date = name is not None and isinstance(values[name], str) and _DATE.fullmatch(values[name])
    return None if is_date else name


def _seconds(values: Mapping[str, Any], columns: Columns, name: str, problems: list[str]) -> float | None:
    unit = columns.units[name]
    if unit == "samples":
        problems.append(f"{name} counts samples or frames; give seconds, as start and end")
        return None
    seconds = seconds_of(values[name])
    if seconds is None:
        problems.append(f"{name} is {shown(values[name])}, not a number of seconds")
        return None
    return seconds / 1000 if unit == "ms" else seconds


def seconds_of(value: object) -> float | None:
    """Convert a number, its digits or a clock time (1:02:03.5, 02:03) to seconds; None if it is not a time."""
    if isinstance(value, str):
        if clock := _CLOCK.fullmatch(value):
            hours, minutes, seconds = clock.groups()
            return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
        # many European spreadsheets write a decimal comma
        value = re.sub(r"^\s*(-?\d+),(\d+)\s*$", r"\1.\2", value)
    try:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    return None
