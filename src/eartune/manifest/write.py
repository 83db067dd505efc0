"""Utterances -> JSON lines with NeMo's keys and portable paths."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from eartune.errors import raise_findings
from eartune.files import write_text_atomic
from eartune.manifest.utterance import Utterance


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically; read_manifest returns equal utterances."""
    write_text_atomic(path, manifest_text(path, utterances))


def manifest_text(path: str | Path, utterances: Iterable[Utterance]) -> str:
    """Return the lines of a manifest to be written to `path`.

    Paths of recordings are relative to its folder, with forward slashes; absolute if they are on another drive.
    """
    folder = os.path.realpath(Path(path).parent)

    @cache
    def relative(parent: Path) -> str:
        # Symbolic links to folders are resolved, as .. after one leads elsewhere; a linked recording keeps its name.
        real = os.path.realpath(parent)
        try:
            return Path(os.path.relpath(real, folder)).as_posix()
        except ValueError:  # another drive
            return Path(real).as_posix()

    lines, findings = [], []
    for utterance in utterances:
        audio = Path(relative(utterance.audio.parent)) / utterance.audio.name
        line = _line(utterance, audio.as_posix())
        lines.append(f"{line}\n")
        if not _is_utf8(line):
            findings.append(f"{utterance.source}: cannot be written as UTF-8: {line!a}; rename what is not valid text")
    raise_findings(findings)
    return "".join(lines)


def _line(utterance: Utterance, audio: str) -> str:
    row: dict[str, Any] = {  # Any: values of a user's own keys
        "audio_filepath": audio,
        "duration": round(utterance.duration_s, 4),
        "text": utterance.text,
    }
    if utterance.language is not None:
        row["lang"] = utterance.language
    if utterance.speaker is not None:
        row["speaker"] = utterance.speaker
    if utterance.is_cut or utterance.offset_s:
        row["offset"] = round(utterance.offset_s, 4)
    if utterance.channel is not None:
        row["channel"] = utterance.channel
    if utterance.segments:
        row["segments"] = [
            {"start": round(s.start_s, 4), "end": round(s.end_s, 4), "text": s.text} for s in utterance.segments
        ]
    if utterance.locale is not None:
        row["locale"] = utterance.locale
    row |= {name: value for name, value in utterance.extra.items() if name not in row}
    return json.dumps(row, ensure_ascii=False)


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
