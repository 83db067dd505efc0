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


def find_recording(folder: Path, audio: str) -> Path:
    """Return the absolute path of an existing recording, else its expected path, relative to the manifest's folder.

    Searched are the manifest's folder, its subfolders for recordings, and the working directory.
    """
    path = next(filter(exists, _candidates(folder, audio)), folder / audio)
    return path.parent.resolve() / path.name if ".." in path.parts else path


def exists(path: Path) -> bool:
    """Return whether a path from a user's row exists; an invalid path does not."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a transcript in the audio column is too long for a file name
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
