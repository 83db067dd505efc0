"""An opened recording: its kind, its true length, and its samples block by block from any position."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile

from eartune.audio.byte_view import open_view
from eartune.audio.headers import Header
from eartune.audio.media import media_blocks, probe_media
from eartune.audio.mp3 import PREROLL_FRAMES, SILENT_FRAMES, Mpeg, Part, read_mp3
from eartune.audio.quality import Samples
from eartune.errors import InputError

BLOCK_FRAMES = 1 << 20
# libsndfile's length of a stream is above this if its writer could not fill it in
UNKNOWN_FRAMES = 1 << 62
# Speech needs 8 kHz; old telephones had less, and no recorder has more than the largest.
SAMPLE_RATES_HZ = (4_000, 768_000)
# libsndfile 1.2.2 is at a wrong position after a seek in these.
_NO_SEEK = ("MPEG", "VORBIS")
# error of its guess of the length of an MPEG layer II stream
_GUESS_SHARE = 0.05


@dataclass(frozen=True)
class Recording:
    """An opened recording. `blocks(begin)` yields [samples, channels] from sample `begin` to the end.

    `num_frames` are samples per channel, None if only decoding can count them; if `is_exact`, they are counted and not
    a guess. If it `can_seek`, a stretch can be decoded alone; otherwise everything before it is decoded too.
    """

    sample_rate_hz: int
    channels: int
    format: str
    num_frames: int | None
    is_exact: bool
    can_seek: bool
    blocks: Callable[[int], Iterator[Samples]]


def open_recording(path: Path, header: Header) -> Recording:
    """Open with libsndfile, or with FFmpeg if libsndfile does not support the format. Raises InputError."""
    recording = _with_libsndfile(path, header) or _with_ffmpeg(path)
    lowest_hz, highest_hz = SAMPLE_RATES_HZ
    if not lowest_hz <= recording.sample_rate_hz <= highest_hz:
        rate_hz = recording.sample_rate_hz
        raise InputError(f"{path}: has a sample rate of {rate_hz} Hz; supported are {lowest_hz} to {highest_hz} Hz")
    return recording


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A SoundFile that is read sequentially if libsndfile cannot seek in it exactly.

    soundfile seeks after each read of a seekable file, so this concerns every file read in parts.
    """

    def seekable(self) -> bool:
        exact = self.frames < UNKNOWN_FRAMES and not self.subtype.startswith(_NO_SEEK)
        return exact and bool(super().seekable())

    def close(self) -> None:
        super().close()
        if isinstance(self.name, io.BufferedReader):
            self.name.close()


# (first sample wanted) -> an opened file, and the number of its samples before that one
_OpenAt = Callable[[int], tuple[_SoundFile, int]]


@dataclass(frozen=True)
class _Source:
    """One stream of a file, with its samples per channel; None: only decoding can count them."""

    num_frames: int | None
    open_at: _OpenAt


def _with_libsndfile(path: Path, header: Header) -> Recording | None:
    if header.mpeg is not None and header.mpeg.parts and header.mpeg.parts[0].kind.layer == 3:
        return _mp3(path, header.mpeg)
    if header.ogg is not None and len(header.ogg.streams) > 1:
        return _chain(path, header.ogg.streams)
    try:
        sound = _SoundFile(open_view(path, patches=header.patches)) if header.patches else _SoundFile(path)
    except soundfile.LibsndfileError:
        return None
    with sound:
        if sound.format == "MP3" and header.mpeg is None and (mpeg := read_mp3(path)) is not None:
            # it begins in the middle of a frame
            if mpeg.fault:
                raise InputError(f"{path}: {mpeg.fault}")
            return _mp3(path, mpeg)
        num_frames = int(sound.frames) if sound.frames < UNKNOWN_FRAMES else None
        if header.mpeg is not None and sound.frames < header.mpeg.num_samples * (1 - _GUESS_SHARE):
            return None  # libsndfile stops at its own guess of the length
        can_seek = sound.seekable()
        facts = sound.samplerate, sound.channels, sound.format

    def open_at(begin: int) -> tuple[_SoundFile, int]:
        return _SoundFile(open_view(path, patches=header.patches)) if header.patches else _SoundFile(path), begin

    return Recording(*facts, num_frames, True, can_seek, partial(_blocks, path, (_Source(num_frames, open_at),)))


def _mp3(path: Path, mpeg: Mpeg) -> Recording:
    kind = mpeg.parts[0].kind
    sources = [_Source(part.num_samples, partial(_open_mp3, path, part)) for part in mpeg.parts]
    return Recording(
        kind.sample_rate_hz, kind.channels, "MP3", mpeg.num_samples, True, True, partial(_blocks, path, sources)
    )


def _open_mp3(path: Path, part: Part, begin: int) -> tuple[_SoundFile, int]:
    """Open an MP3 some frames before the one with sample `begin`, with a header that counts the frames from there."""
    first = (begin + part.lead) // part.kind.frame_samples - PREROLL_FRAMES
    if part.header and first < 2 * PREROLL_FRAMES:
        if part.is_alone:
            return _SoundFile(path), begin
        return _SoundFile(open_view(path, begin=part.begin, end=part.end, patches=part.patches())), begin
    first = max(0, first)
    with path.open("rb") as file:
        words = []
        for place in part.frames[first : first + SILENT_FRAMES]:
            file.seek(place)
            words.append(file.read(8))
    prefix, patches, begins = part.view_from(first, words)
    view = open_view(path, begin=part.frames[first], end=part.end, prefix=prefix, patches=patches)
    return _SoundFile(view), begin + part.lead - begins


def _chain(path: Path, streams: Sequence[tuple[int, int]]) -> Recording | None:
    sources, kinds = [], []
    try:
        for first, last in streams:
            with _SoundFile(open_view(path, begin=first, end=last)) as sound:
                kinds.append((sound.samplerate, sound.channels, sound.format))
                sources.append(_Source(int(sound.frames), partial(_open_part, path, first, last)))
                can_seek = sound.seekable()
    except soundfile.LibsndfileError:
        return None
    if len(set(kinds)) > 1:
        found_kinds = ", ".join(
            f"{rate_hz} Hz with {channels} channels" for rate_hz, channels, _ in dict.fromkeys(kinds)
        )
        raise InputError(f"{path}: consists of several concatenated recordings ({found_kinds}); split it")
    total = sum(source.num_frames or 0 for source in sources)
    return Recording(*kinds[0], total, True, can_seek, partial(_blocks, path, sources))


def _open_part(path: Path, first: int, last: int, begin: int) -> tuple[_SoundFile, int]:
    return _SoundFile(open_view(path, begin=first, end=last)), begin


def _blocks(path: Path, sources: Sequence[_Source], begin: int) -> Iterator[Samples]:
    for source in sources:
        if source.num_frames is not None and begin >= source.num_frames:
            begin -= source.num_frames
            continue
        with _damage_as_input_error(path):
            sound, skip = source.open_at(begin)
            left = math.inf if source.num_frames is None else source.num_frames - begin
            with sound:
                _skip(sound, skip)
                # small at first, for a stretch of a few seconds
                size = BLOCK_FRAMES // 16
                while left > 0 and len(block := _read(sound, int(min(left, size)))):
                    left -= len(block)
                    size = min(2 * size, BLOCK_FRAMES)
                    yield block
        begin = 0


def _skip(sound: Any, num_frames: int) -> None:
    if num_frames and sound.seekable():
        sound.seek(min(num_frames, sound.frames))
        return
    while num_frames > 0 and len(skipped := _read(sound, min(num_frames, BLOCK_FRAMES))):
        num_frames -= len(skipped)


def _read(sound: Any, num_frames: int) -> Samples:
    block: Samples = sound.read(num_frames, dtype="float32", always_2d=True)
    return block


@contextmanager
def _damage_as_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: is damaged: libsndfile stops decoding ({error}); get the file again") from error


def _with_ffmpeg(path: Path) -> Recording:
    info = probe_media(path)

    def blocks(begin: int) -> Iterator[Samples]:
        return media_blocks(path, begin / info.sample_rate_hz)

    num_frames = round(info.duration_s * info.sample_rate_hz)
    return Recording(info.sample_rate_hz, info.channels, info.codec, num_frames, False, False, blocks)
