"""A row -> audio, text, times, language, speaker and channel, under any of the column names of corpora."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eartune.errors import shown
from eartune.languages import AUTO, language_code, locale_of, unknown_language
from eartune.manifest.columns import (
    KEPT,
    Columns,
    Role,
    columns_of,
    is_missing,
    is_written_for_missing,
    missing_columns,
)
from eartune.manifest.folding import fold
from eartune.manifest.timed_text import TimedText, read_marks, read_segments
from eartune.manifest.times import Stretch, read_stretch
from eartune.manifest.utterance import Segment

_CHANNELS = {"a": 0, "b": 1, "left": 0, "right": 1, "l": 0, "r": 1, "l,r": None, "average": None, "mean": None}


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a row, before its recording is probed; None: not given. Times of segments are those of the row."""

    audio: str
    text: str
    stretch: Stretch
    language: str | None
    speaker: str | None
    channel: int | None
    segments: tuple[Segment, ...]
    # Any: values of a user's own keys
    extra: dict[str, Any]
    locale: str | None


def read_fields(values: Mapping[str, Any]) -> Fields | list[str]:
    """Return the fields of a row, or all findings on it."""
    columns = columns_of(values)
    problems: list[str] = []
    audio = _audio(values, columns, problems)
    timed = _text(values, columns, problems)
    stretch, used = read_stretch(values, columns, problems)
    language = _language(values, columns, timed.language, problems)
    channel = _channel(values, columns, problems)
    speaker_name = columns.filled(values, "speaker")
    speaker = None if speaker_name is None else str(values[speaker_name])
    if problems:
        return problems
    split = columns.filled(values, "split")
    roles: tuple[Role, ...] = ("audio", "text", "language", "speaker", "channel", "split")
    used |= {name for role in roles if (name := columns.filled(values, role))}
    used |= {name for name in [columns.filled(values, "segments")] if name and _is_list(values[name])}
    extra = {
        name: value
        for name, value in values.items()
        if (name not in used or name in KEPT) and not is_missing(value) and value != ""
    }
    if split is not None:
        extra["split"] = values[split]
    if speaker is not None and is_written_for_missing(speaker):
        speaker = None
    locale = _locale(values, columns)
    return Fields(audio, timed.text, stretch, language, speaker, channel, timed.segments, extra, locale)


def recording_named(values: Mapping[str, Any]) -> str | None:
    """Return the path of the recording as written in the row, even if other fields are invalid."""
    name = columns_of(values).filled(values, "audio")
    # Hugging Face: {"path": "audio/001.wav", "sampling_rate": 16000}
    value = values[name].get("path") if name and isinstance(values[name], Mapping) else name and values[name]
    return value if isinstance(value, str) else None


def _audio(values: Mapping[str, Any], columns: Columns, problems: list[str]) -> str:
    audio = recording_named(values)
    name = columns.filled(values, "audio")
    if name is None:
        problems += [f"no recording: {problem}" for problem in missing_columns(list(values)) if "recordings" in problem]
        if not problems:
            problems.append("no recording: its path is empty")
    elif audio is None and isinstance(values[name], Mapping):
        problems.append(f"{name} names no path; save the recording as a file, and name that")
    elif audio is None:
        problems.append(f"the path of the recording is {shown(values[name])}, not text")
    elif not _is_path(audio):
        problems.append(f"the path of the recording holds characters that no path can: {shown(audio)}")
    return audio or ""


def _is_path(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _text(values: Mapping[str, Any], columns: Columns, problems: list[str]) -> TimedText:
    """Return the transcript with its times, from timestamp tokens in the text or from a list of segments."""
    text = _plain_text(values, columns)
    name = columns.filled(values, "segments")
    # these names have other uses too: Common Voice's column segment names a benchmark
    listed = read_segments(values[name]) if name is not None and _is_list(values[name]) else ()
    marked = read_marks(text) if isinstance(text, str) else TimedText("")
    if isinstance(text, list):
        problems += text
    elif isinstance(marked, str):
        problems.append(marked)
    elif isinstance(listed, str):
        problems.append(f"{name}: {listed}")
    elif text is None and not listed:
        missing = [problem for problem in missing_columns(list(values)) if "transcripts" in problem]
        problems += missing or ["the text is missing (null); an empty text in quotes means that nobody speaks"]
    else:
        joined = " ".join(segment.text for segment in listed)
        if listed and marked.text and fold(marked.text) != fold(joined):
            problems.append(f"the text {shown(marked.text)} differs from that of {name}, {shown(joined)}")
        return TimedText(marked.text or joined, marked.segments or listed, marked.language)
    return TimedText("")


def _is_list(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))


def _plain_text(values: Mapping[str, Any], columns: Columns) -> str | list[str] | None:
    """Return the text with single spaces and no line breaks, findings on it, or None if there is no text."""
    texts, problems = [], []
    for name in columns.by_role["text"]:
        text = values[name]
        if is_missing(text):
            continue
        if not isinstance(text, str):
            problems.append(f"the text is {shown(text)}; write it in quotes")
        elif not text.isascii() and re.search("[\ud800-\udfff]", text):
            problems.append(f"the text holds half a character (a lone surrogate): {shown(text)}")
        else:
            texts.append((name, " ".join(text.split())))
    if problems or not texts:
        return problems or None
    (first, text), *others = [(name, text) for name, text in texts if text] or texts
    for name, other in others:
        if fold(other) != fold(text):
            problems.append(
                f"{first} is {shown(text)} and {name} is {shown(other)}: which one is the transcript? "
                "Remove one of the columns"
            )
    return problems or text


def _language(
    values: Mapping[str, Any], columns: Columns, marked_language: str | None, problems: list[str]
) -> str | None:
    name = columns.filled(values, "language")
    if name is None:
        return marked_language
    language = values[name]
    if not isinstance(language, str):
        problems.append(f"the language is {shown(language)}, not a name or code")
        return None
    if language.strip().lower() == AUTO:
        return marked_language
    code = language_code(language)
    if code is None:
        problems.append(unknown_language(language))
    elif marked_language not in (None, code):
        problems.append(f"{name} is {language}, and the text is marked <|{marked_language}|>: keep one")
    return code


def _locale(values: Mapping[str, Any], columns: Columns) -> str | None:
    """Return a language with its region, from the language column or, if that has no region, from `locale`."""
    for name in (columns.filled(values, "language"), "locale"):
        value = values.get(name) if name is not None else None
        if isinstance(value, str) and (found := locale_of(value)) is not None:
            return found
    return None


def _channel(values: Mapping[str, Any], columns: Columns, problems: list[str]) -> int | None:
    name = columns.filled(values, "channel")
    if name is None:
        return None
    value = values[name]
    # lhotse's MultiCut
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        value = value[0] if len(value) == 1 else "mean" if value == list(range(len(value))) else value
    if isinstance(value, str) and value.strip().lower() in _CHANNELS:
        return _CHANNELS[value.strip().lower()]
    try:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and float(value) == int(float(value)):
            number = int(float(value))
            if 0 <= number < 1024:
                return number
    except (ValueError, OverflowError):
        pass
    problems.append(f"{name} is {shown(value)}, not the number of a channel: the first is 0")
    return None
