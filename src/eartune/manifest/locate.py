"""Search for the recording that a row names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from eartune.audio import AUDIO_SUFFIXES

# Common Voice has clips/ beside its tables, LJSpeech wavs/, Common Voice's spontaneous speech audios/
AUDIO_FOLDERS = ("clips", "wavs", "wav", "audio", "audios")
# LJSpeech and old tables of Common Voice name recordings without their ending
_USUAL_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a")


def locate(folder: Path, audio: str) -> Path:
    """Return the absolute path of a recording: where it exists, from the manifest's folder, else where it should be.

    It may lie in the manifest's folder, in a folder for recordings within it, or in the working directory.
    """
    path = next(filter(exists, _candidates(folder, audio)), folder / audio)
    return path.parent.resolve() / path.name if ".." in path.parts else path


def exists(path: Path) -> bool:
    """Return whether something lies at a path that a user may have written anything into."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a transcript in the place of a path is too long for a name
        return False


def _candidates(folder: Path, audio: str) -> Iterator[Path]:
    yield folder / audio
    yield Path.cwd() / audio
    if os.name != "nt" and "\\" in audio:
        yield from _candidates(folder, audio.replace("\\", "/"))
    if Path(audio).is_absolute():
        return
    folders = [folder / name for name in AUDIO_FOLDERS]
    yield from (inner / audio for inner in folders)
    if Path(audio).suffix.lower() not in AUDIO_SUFFIXES:
        yield from (inner / f"{audio}{suffix}" for inner in (folder, *folders) for suffix in _USUAL_SUFFIXES)
