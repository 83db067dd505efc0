"""A row -> audio, text, times, language and speaker, under any of the names corpora give these columns."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eartune.errors import nearest
from eartune.languages import language_code, unknown_language

# Earlier names win where a row has several.
AUDIO_NAMES = (
    "audio_filepath",
    "audio",
    "path",
    "file_name",
    "filename",
    "file",
    "wav_filename",
    "audio_path",
    "audio_file",
    "file_path",
    "wav",
)
TEXT_NAMES = ("text", "sentence", "transcript", "transcription")
DURATION_NAMES = ("duration", "duration_s")
OFFSET_NAMES = ("offset", "offset_s")
LANGUAGE_NAMES = ("lang", "language", "locale", "target_lang")
SPEAKER_NAMES = ("speaker", "speaker_id", "client_id")

ALL_NAMES = (AUDIO_NAMES, TEXT_NAMES, DURATION_NAMES, OFFSET_NAMES, LANGUAGE_NAMES, SPEAKER_NAMES)
KNOWN_NAMES = frozenset({"split"}.union(*ALL_NAMES))

# Canary's own key stays in a row also where it is all that names the language.
KEPT_NAMES = frozenset({"target_lang"})


@dataclass(frozen=True, slots=True)
class Fields:
    """What a row says, before its recording is looked at; None: not said."""

    audio: str
    text: str
    duration_s: float | None
    offset_s: float | None
    language: str | None
    speaker: str | None
    # Any: values of a user's own keys
    extra: dict[str, Any]


def read_fields(values: Mapping[str, Any]) -> Fields | list[str]:
    """Return the fields of a row, or all that is wrong with it."""
    audio_name, text_name, duration_name, offset_name, language_name, speaker_name = used = [
        _used_name(values, names) for names in ALL_NAMES
    ]
    problems: list[str] = []
    audio = _audio(values, audio_name, problems)
    text = _text(values, text_name, problems)
    duration_s = _seconds(values, duration_name, problems)
    if duration_s is not None and not 0 < duration_s < math.inf:
        problems.append(f"duration {duration_s:g} s is not a length of time; leave it out and it is measured")
    offset_s = _seconds(values, offset_name, problems)
    if offset_s is not None and not 0 <= offset_s < math.inf:
        problems.append(f"offset {offset_s:g} s is not a place in a recording")
    language = _language(values, language_name, problems)
    speaker = str(values[speaker_name]) if speaker_name else None
    if problems:
        return problems
    extra = {
        name: value
        for name, value in values.items()
        if (name not in used or name in KEPT_NAMES) and value is not None and value != ""
    }
    return Fields(audio, text, duration_s, offset_s, language, speaker, extra)


def missing_columns(columns: list[str]) -> list[str]:
    """Return what a table lacks, with the columns it has and the nearest names; nothing where it lacks nothing."""
    problems = []
    for what, names in (("the recordings", AUDIO_NAMES), ("the transcripts", TEXT_NAMES)):
        if not any(name in columns for name in names):
            close = next((close for column in columns if (close := nearest(column, names))), "")
            problems.append(
                f"no column with {what} ({', '.join(names[:4])}, ...); columns found: {', '.join(columns)}.{close}"
            )
    return problems


def recording_named(values: Mapping[str, Any]) -> str | None:
    """Return the path of the recording as the row has it, also where the rest of the row is wrong."""
    name = _used_name(values, AUDIO_NAMES)
    # Hugging Face: {"path": "audio/001.wav", "sampling_rate": 16000}
    value = values[name].get("path") if name and isinstance(values[name], Mapping) else name and values[name]
    return value if isinstance(value, str) else None


def _used_name(values: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in values and values[name] is not None and values[name] != "":
            return name
    return None


def _audio(values: Mapping[str, Any], name: str | None, problems: list[str]) -> str:
    audio = recording_named(values)
    if name is None:
        problems += [f"no recording: {problem}" for problem in missing_columns(list(values)) if "recordings" in problem]
        if not problems:
            problems.append("no recording: its path is empty")
    elif audio is None:
        problems.append(f"the path of the recording is {_shown(values[name])}, not text")
    elif not _is_path(audio):
        problems.append(f"the path of the recording holds what no path can: {_shown(audio)}")
    return audio or ""


def _is_path(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _text(values: Mapping[str, Any], name: str | None, problems: list[str]) -> str:
    text = values[name] if name else None
    if not any(name in values for name in TEXT_NAMES):
        problems += [problem for problem in missing_columns(list(values)) if "transcripts" in problem]
    elif text is None:
        problems.append("the text is empty")
    elif not isinstance(text, str):
        problems.append(f"the text is {_shown(text)}; write it in quotes")
    elif not text.isascii() and re.search("[\ud800-\udfff]", text):
        problems.append(f"the text holds half a character (a lone surrogate): {_shown(text)}")
    else:
        # A transcript is one line, whatever the table made of it.
        text = " ".join(text.split())
        if not text:
            problems.append("the text is empty")
        return text
    return ""


def _seconds(values: Mapping[str, Any], name: str | None, problems: list[str]) -> float | None:
    if name is None:
        return None
    value = values[name]
    if isinstance(value, str):
        # spreadsheets in half of Europe write a decimal comma
        value = re.sub(r"^\s*(-?\d+),(\d+)\s*$", r"\1.\2", value)
    try:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    problems.append(f"{name} is {_shown(value)}, not a number of seconds")
    return None


def _language(values: Mapping[str, Any], name: str | None, problems: list[str]) -> str | None:
    if name is None:
        return None
    language = values[name]
    if not isinstance(language, str):
        problems.append(f"the language is {_shown(language)}, not a name or code")
        return None
    code = language_code(language)
    if code is None:
        problems.append(unknown_language(language))
    return code


def _shown(value: object) -> str:
    shown = ascii(value) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
