"""Column names of corpora for recordings, transcripts, times, languages, speakers and channels.

Names are compared without case, spaces and punctuation: `Begin Time - ss.msec` (ELAN) is `begin_time_ss_msec`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from eartune.errors import nearest

Role = Literal["audio", "text", "language", "speaker", "split", "channel", "segments", "start", "end", "duration"]
TimeUnit = Literal["s", "ms", "clock", "samples"]

# In order of preference, for rows that have several.
NAMES: Mapping[Role, tuple[str, ...]] = {
    "audio": (
        "audio_filepath",
        "audio",
        "path",
        "file_name",
        "filename",
        "file",
        "wav_filename",
        "audio_path",
        "audio_file",
        "audio_filename",
        "file_path",
        "filepath",
        "wav",
        "wav_path",
        "clip",
    ),
    # answer is NeMo's name for the text of a row with a prompt
    "text": ("text", "sentence", "transcript", "transcription", "answer"),
    # the spoken language; of a translation, not that of the text
    "language": ("lang", "language", "locale", "source_lang", "target_lang"),
    "speaker": ("speaker", "speaker_id", "client_id", "speaker_name", "spk", "spk_id"),
    "split": ("split",),
    "channel": ("channel", "channel_id", "channel_index", "channel_selector", "audio_channel", "chan"),
    # whisper-timestamped and yeyupiaoling's Whisper-Finetune; transformers' pipelines
    "segments": ("segments", "sentences", "chunks"),
}
# NeMo's keys of prompts are kept in `extra` even if they are the only language columns.
KEPT = frozenset({"source_lang", "target_lang"})

_WRITTEN_FOR_MISSING = frozenset({"nan", "none", "null", "n/a", "#n/a", "na", "<na>", "unknown", "-", "?"})

_UNITS: Mapping[str, TimeUnit] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "ss", "ss_msec"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("hh_mm_ss", "hh_mm_ss_ms"), "clock"),
    **dict.fromkeys(("sample", "samples", "frame", "frames"), "samples"),
}
_TIME_NAME = re.compile(
    r"(?:(?:seg|segment|clip|utt|utterance|audio|speech|turn|sample|frame)_)?"
    r"(?P<role>start|begin|onset|tmin|xmin|offset|end|stop|tmax|xmax|duration|dur)"
    r"(?:_(?:time|timestamp|offset|pos|position))?"
    rf"(?:_(?P<unit>{'|'.join(sorted(_UNITS, key=len, reverse=True))}))?"
)
_TIME_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("start", "begin", "onset", "tmin", "xmin", "offset"), "start"),
    **dict.fromkeys(("end", "stop", "tmax", "xmax"), "end"),
    **dict.fromkeys(("duration", "dur"), "duration"),
}


@dataclass(frozen=True)
class Columns:
    """The column names of a row by role, in order of preference, and the units of its time columns."""

    by_role: Mapping[Role, tuple[str, ...]]
    units: Mapping[str, TimeUnit]

    def filled(self, values: Mapping[str, Any], role: Role) -> str | None:
        """Return the first column of a role that has a value in this row."""
        return next((name for name in self.by_role[role] if not is_missing(values[name]) and values[name] != ""), None)


def columns_of(names: Iterable[str]) -> Columns:
    """Return the columns of a row by role."""
    return _columns_of(tuple(names))


def is_missing(value: object) -> bool:
    """Return whether a value is missing: JSON's null, or the NaN that pandas writes for it."""
    return value is None or (isinstance(value, float) and value != value)


def is_written_for_missing(value: str) -> bool:
    """Return whether a text is a table's placeholder for a missing one, such as nan or N/A."""
    return value.strip().casefold() in _WRITTEN_FOR_MISSING


def missing_columns(columns: list[str]) -> list[str]:
    """Return findings on the missing columns of a table, with the nearest names; empty if none is missing."""
    found = columns_of(columns).by_role
    problems = []
    roles: tuple[tuple[str, Role], ...] = (("the recordings", "audio"), ("the transcripts", "text"))
    for what, role in roles:
        # segments with times contain a transcript too
        if not found[role] and not (role == "text" and found["segments"]):
            names = NAMES[role]
            close = next((close for column in columns if (close := nearest(column, names))), "")
            problems.append(
                f"no column with {what} ({', '.join(names[:4])}, ...); columns found: {', '.join(columns)}.{close}"
            )
    return problems


@lru_cache(maxsize=4096)
def _columns_of(names: tuple[str, ...]) -> Columns:
    by_role: dict[Role, list[tuple[int, str]]] = {role: [] for role in (*NAMES, "start", "end", "duration")}
    units: dict[str, TimeUnit] = {}
    for name in names:
        plain = _plain(name)
        for role, known in NAMES.items():
            if plain in known:
                by_role[role].append((known.index(plain), name))
        if time := _TIME_NAME.fullmatch(plain):
            units[name] = "samples" if plain.startswith(("sample_", "frame_")) else _UNITS[time["unit"] or "s"]
            # NeMo's own names first
            by_role[_TIME_ROLES[time["role"]]].append((plain not in ("offset", "duration"), name))
    return Columns(
        # the sort keeps the order of equals
        {role: tuple(name for _, name in sorted(found, key=lambda item: item[0])) for role, found in by_role.items()},
        units,
    )


def _plain(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
