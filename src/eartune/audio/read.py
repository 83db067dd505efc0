"""The length of a recording, and its samples as 16 kHz mono: libsndfile where it knows the format, PyAV elsewhere."""

from __future__ import annotations

import codecs
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from eartune.audio.headers import RiffData, mp3_samples, read_header, with_true_sizes
from eartune.audio.media import decode_media, probe_media
from eartune.errors import InputError

SAMPLE_RATE_HZ = 16_000

# A length is wrong where it is off by more than both.
TOLERANCE_S = 0.5
TOLERANCE_SHARE = 0.05

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".sph", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"}
    | {".wave", ".rf64", ".snd", ".spx", ".mp2", ".mpga", ".ac3", ".ape", ".wv", ".tta", ".avi", ".m4v", ".ts"}
    | {".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv", ".mka", ".webm", ".wma", ".amr", ".3gp"}
)
"""How files are called that hold recordings; what a file is, its content decides."""

# libsndfile 1.2.2 lands in the wrong place after a seek in these.
_NO_SEEK = ("MPEG", "VORBIS")
# What libsndfile says of a FLAC stream whose writer could not go back is above this.
_UNKNOWN_FRAMES = 1 << 62
_BLOCK_FRAMES = 1 << 22

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AudioInfo:
    """What a recording is, without its samples; `format` is WAV, FLAC, MP3, OGG, ... or FFmpeg's name of the codec."""

    duration_s: float
    sample_rate_hz: int
    channels: int
    format: str


def probe(path: str | Path) -> AudioInfo:
    """Return the length and kind of a recording, from its header where the header can be trusted.

    Raises InputError: no such file, a directory, empty, text, cut short (WAV, NIST and MP3 tell), no samples,
    not audio, or a format that needs PyAV where that is missing.
    """
    path = Path(path)
    sound = _open(path, _check_file(path))
    if sound is None:
        media = probe_media(path)
        return AudioInfo(media.duration_s, media.sample_rate_hz, media.channels, media.codec)
    with sound, _damage_named(path):
        num_frames = _count_frames(path, sound)
        if num_frames is None:
            num_frames = len(_read_frames(sound, _UNKNOWN_FRAMES))
        if num_frames == 0:
            raise InputError(f"{path}: holds no audio (0 samples)")
        return AudioInfo(num_frames / sound.samplerate, sound.samplerate, sound.channels, sound.format)


def decode(
    path: str | Path, *, offset_s: float = 0.0, duration_s: float | None = None, channel: int | None = None
) -> Samples:
    """Return samples of a recording, [samples], float32, 16 kHz: of one channel, counted from 0, or the mean of all.

    `offset_s` and `duration_s` cut out a stretch, in seconds; None: to the end. A stretch may reach past the end by
    0.5 s or 5 %: then what there is comes back. In MP3 and Vorbis all that comes before is decoded too, since seeking
    there is not exact. Raises InputError as probe does, and for damage, for samples that are no numbers and
    for a stretch outside the recording.
    """
    path = Path(path)
    if not offset_s >= 0 or not (duration_s is None or duration_s > 0):
        raise InputError(f"{path}: cannot cut {duration_s} s from second {offset_s}: times are positive")
    sound = _open(path, _check_file(path))
    samples_SC, rate_hz, total_s = _read_stretch(path, sound, offset_s, duration_s)
    held_s = len(samples_SC) / rate_hz
    if total_s is not None:
        promised_s = min(max(0.0, total_s - offset_s), duration_s or math.inf)
        if is_far_off(held_s, promised_s):
            raise InputError(
                f"{path}: is damaged or cut short: of {total_s:.2f} s only {offset_s + held_s:.2f} s can be decoded; "
                "get the file anew"
            )
    if not len(samples_SC):
        raise InputError(f"{path}: holds no audio{f' after second {offset_s:g}' if offset_s else ' (0 samples)'}")
    if duration_s is not None and is_far_off(held_s, duration_s):
        raise InputError(f"{path}: ends at {offset_s + held_s:.2f} s, before second {offset_s + duration_s:.2f}")
    num_channels = samples_SC.shape[1]
    if channel is not None and not channel < num_channels:
        raise InputError(
            f"{path}: has {num_channels} channel{'s' if num_channels > 1 else ''}, and channel {channel} is asked for; "
            "channels are counted from 0"
        )
    samples = samples_SC[:, channel or 0] if channel is not None or num_channels == 1 else samples_SC.mean(axis=1)
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: holds samples that are no numbers (NaN or infinity); convert it anew")
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
    return np.ascontiguousarray(samples, dtype=np.float32)


def is_far_off(found_s: float, expected_s: float) -> bool:
    """Return whether a length differs from the expected one by more than 0.5 s and by more than 5 % of it."""
    return abs(found_s - expected_s) > max(TOLERANCE_S, TOLERANCE_SHARE * expected_s)


def _check_file(path: Path) -> RiffData | None:
    """Refuse what is no whole recording; return where the samples of a WAV lie."""
    try:
        header = read_header(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        # Windows calls it a lack of permission
        if isinstance(error, (IsADirectoryError, PermissionError)) and path.is_dir():
            raise InputError(f"{path}: is a directory, not a recording") from None
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not header.head:
        raise InputError(f"{path}: is empty (0 bytes)")
    _check_not_text(path, header.head)
    if header.shortfall:
        raise InputError(f"{path}: is cut short: {header.shortfall}; get the file anew")
    return header.riff


def _check_not_text(path: Path, head: bytes) -> None:
    if b"\0" in head or head.startswith(b"NIST"):
        return
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return
    if text.startswith("version https://git-lfs"):
        raise InputError(f"{path}: is a Git LFS pointer, not audio; run 'git lfs pull'")
    raise InputError(f"{path}: is text, not audio; it begins with {' '.join(text.split())[:40]!r}")


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A SoundFile that is read from begin to end where libsndfile loses its place after a seek.

    soundfile seeks after each read of a seekable file, so this concerns every file read in parts.
    """

    def seekable(self) -> bool:
        exact = self.frames < _UNKNOWN_FRAMES and not self.subtype.startswith(_NO_SEEK)
        return exact and bool(super().seekable())


def _open(path: Path, riff: RiffData | None) -> Any | None:
    """Open with libsndfile; None where it does not know the format."""
    try:
        if riff is not None and riff.is_stream and riff.declared_bytes == 0:
            return _SoundFile(io.BytesIO(with_true_sizes(path, riff)))
        return _SoundFile(path)
    except soundfile.LibsndfileError:
        return None


def _count_frames(path: Path, sound: Any) -> int | None:
    """Return the samples per channel; None where only decoding can tell."""
    counted = mp3_samples(path) if sound.format == "MP3" else None
    if counted is not None:
        return counted
    return int(sound.frames) if sound.frames < _UNKNOWN_FRAMES else None


def _read_stretch(
    path: Path, sound: Any | None, offset_s: float, duration_s: float | None
) -> tuple[Samples, int, float | None]:
    """Return [samples, channels], the sample rate in Hz, and how long the recording is by its header."""
    if sound is None:
        return decode_media(path, offset_s, duration_s)
    with sound, _damage_named(path):
        num_frames = _count_frames(path, sound)
        # libsndfile stops at its own guess of the length
        if num_frames is not None and sound.frames < num_frames * (1 - TOLERANCE_SHARE):
            return decode_media(path, offset_s, duration_s)
        rate_hz = sound.samplerate
        begin = round(offset_s * rate_hz)
        wanted = _UNKNOWN_FRAMES if duration_s is None else round(duration_s * rate_hz)
        if num_frames is not None:
            wanted = min(wanted, max(0, num_frames - begin))
        _skip(sound, begin)
        return _read_frames(sound, wanted), rate_hz, None if num_frames is None else num_frames / rate_hz


def _skip(sound: Any, num_frames: int) -> None:
    if num_frames and sound.seekable():
        sound.seek(min(num_frames, sound.frames))
        return
    while num_frames > 0 and len(skipped := _read_block(sound, min(num_frames, _BLOCK_FRAMES))):
        num_frames -= len(skipped)


def _read_frames(sound: Any, left: int) -> Samples:
    """Read at most so many samples per channel into [samples, channels]."""
    blocks = [np.zeros((0, sound.channels), np.float32)]
    while left > 0 and len(block := _read_block(sound, min(left, _BLOCK_FRAMES))):
        blocks.append(block)
        left -= len(block)
    return np.concatenate(blocks)


def _read_block(sound: Any, num_frames: int) -> Samples:
    block: Samples = sound.read(num_frames, dtype="float32", always_2d=True)
    return block


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: is damaged: libsndfile stops decoding ({error}); get the file anew") from error
