"""Length of a recording, and its samples as 16 kHz mono: by libsndfile if it supports the format, else by PyAV."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from eartune.audio.chunks import CONCATENATED
from eartune.audio.flac import holds_another
from eartune.audio.headers import Header, read_header
from eartune.audio.quality import ChannelMeter, Loudness, Samples, measure
from eartune.audio.recording import Recording, open_recording
from eartune.errors import InputError

SAMPLE_RATE_HZ = 16_000

# A length is wrong if it is off by more than both.
TOLERANCE_S = 0.5
TOLERANCE_SHARE = 0.05
# libsndfile counts exactly, except for a frame or two of an MP3 that begins in the middle of one.
EXACT_S = 0.15

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".sph", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"}
    | {".wave", ".rf64", ".snd", ".spx", ".mp2", ".mpga", ".ac3", ".ape", ".wv", ".tta", ".avi", ".m4v", ".ts"}
    | {".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv", ".mka", ".webm", ".wma", ".amr", ".3gp"}
)
"""Suffixes of recordings; the format of a file is read from its content."""

# Gaps between stretches are decoded if shorter than this, else skipped.
GAP_S = 10.0

_EMPTY: Samples = np.zeros((0, 1), np.float32)

# offset and duration in seconds; None: to the end
Stretch = tuple[float, float | None]


@dataclass(frozen=True)
class AudioInfo:
    """Properties of a recording; `format` is WAV, FLAC, MP3, OGG, ... or FFmpeg's name of the codec."""

    duration_s: float
    sample_rate_hz: int
    channels: int
    format: str


def probe(path: str | Path) -> AudioInfo:
    """Return the length and kind of a recording, from its header checked against the content of the file.

    Raises InputError: no such file, a directory or a pipe, empty, text, cut short, audio that contradicts its header,
    several recordings of different kinds, a sample rate that is not one of speech, no samples, not audio, or a format
    that needs PyAV where that is missing.
    """
    path = Path(path)
    recording = _open(path)
    num_frames = recording.num_frames
    if num_frames is None:
        num_frames = sum(len(block) for block in recording.blocks(0))
    if num_frames == 0:
        raise InputError(f"{path}: holds no audio (0 samples)")
    rate_hz = recording.sample_rate_hz
    return AudioInfo(num_frames / rate_hz, rate_hz, recording.channels, recording.format)


def decode(
    path: str | Path, *, offset_s: float = 0.0, duration_s: float | None = None, channel: int | None = None
) -> Samples:
    """Return samples of a recording, [samples], float32, 16 kHz: of one channel, counted from 0, or the mean of all.

    `offset_s` and `duration_s` select a stretch, in seconds; None: to the end. A stretch may extend past the end by
    0.5 s or 5 %: then the samples up to the end are returned. In Vorbis and bare AAC everything before the stretch is
    decoded too, since seeking there is not exact. Raises InputError as probe does, and for damage, for a stretch
    outside the recording, and for faulty samples: non-finite, far beyond full scale, channels that cancel one another.
    """
    (decoded,) = decode_stretches(path, [(offset_s, duration_s)], channel=channel)
    return decoded.samples


@dataclass(frozen=True)
class Decoded:
    """Samples, 16 kHz mono, and whether the two channels averaged in them have different voices."""

    samples: Samples
    different_voices: bool

    @property
    def loudness(self) -> Loudness:
        return measure(self.samples, different_voices=self.different_voices)


def decode_stretches(
    path: str | Path, stretches: Sequence[Stretch], *, channel: int | None = None
) -> Iterator[Decoded]:
    """Yield stretches of one recording, sorted by their start, each as decode returns it.

    The recording is decoded once, and no more samples are kept than a stretch needs. Stretches may overlap.
    """
    path = Path(path)
    for offset_s, duration_s in stretches:
        if not offset_s >= 0 or not (duration_s is None or duration_s > 0):
            raise InputError(f"{path}: cannot cut {duration_s} s from second {offset_s}: times must be positive")
    recording = _open(path)
    if recording.format == "FLAC" and holds_another(path):
        raise InputError(f"{path}: {CONCATENATED}")
    if channel is not None and not channel < recording.channels:
        count = recording.channels
        raise InputError(
            f"{path}: has {count} channel{'s' if count > 1 else ''}, so there is no channel {channel}; "
            "channels are counted from 0"
        )
    if not stretches:
        return
    begins = [round(offset_s * recording.sample_rate_hz) for offset_s, _ in stretches]
    with closing(_Reader(recording, begins[0])) as reader:
        for stretch, begin, later in zip(stretches, begins, [*begins[1:], math.inf], strict=True):
            yield _decode_stretch(path, recording, reader, stretch, begin, later, channel)


def can_seek(path: str | Path) -> bool:
    """Return whether a stretch can be decoded alone; otherwise everything before it is decoded too."""
    try:
        return _open(Path(path)).can_seek
    except InputError:
        return False


def is_far_off(found_s: float, expected_s: float) -> bool:
    """Return whether a length differs from the expected one by more than 0.5 s and by more than 5 % of it."""
    return abs(found_s - expected_s) > max(TOLERANCE_S, TOLERANCE_SHARE * expected_s)


class _Reader:
    """The blocks of a recording, read forward; those that a later stretch needs are kept."""

    def __init__(self, recording: Recording, begin: int) -> None:
        self._recording = recording
        self._blocks = recording.blocks(begin)
        self._kept: list[tuple[int, Samples]] = []
        self._at = begin

    def blocks(self, begin: int, end: float, *, keep_from: float) -> Iterator[Samples]:
        """Yield the samples from `begin` up to `end` or the end of the recording; `begin` never goes back."""
        kept, self._kept = self._kept, []
        for at, block in kept:
            yield from self._part(at, block, begin, end, keep_from)
        if self._recording.can_seek and begin - self._at > GAP_S * self._recording.sample_rate_hz:
            self.close()
            self._at, self._blocks = begin, self._recording.blocks(begin)
        while self._at < end:
            block = next(self._blocks, _EMPTY)
            if not len(block):
                return
            at, self._at = self._at, self._at + len(block)
            yield from self._part(at, block, begin, end, keep_from)

    def close(self) -> None:
        self._blocks.close()  # type: ignore[attr-defined]  # blocks are made by generators

    def _part(self, at: int, block: Samples, begin: int, end: float, keep_from: float) -> Iterator[Samples]:
        after = at + len(block)
        if after > keep_from:
            self._kept.append((at, block))
        if after > begin and at < end:
            yield block[max(0, begin - at) : int(min(end, after)) - at]


class _SampleBuffer:
    """Samples added in blocks, copied only once if their number is known."""

    def __init__(self, num_samples: int | None) -> None:
        # a resampler may return one more
        self._whole = None if num_samples is None else np.empty(num_samples + 1, np.float32)
        self._parts: list[Samples] = []
        self._count = 0

    def add(self, block: Samples) -> None:
        if self._whole is None:
            # a copy, since the block may be a view of a larger one
            self._parts.append(block.copy())
        else:
            self._whole[self._count : self._count + len(block)] = block
        self._count += len(block)

    def samples(self) -> Samples:
        return np.concatenate(self._parts) if self._whole is None else self._whole[: self._count]


def _decode_stretch(
    path: Path, recording: Recording, reader: _Reader, stretch: Stretch, begin: int, later: float, channel: int | None
) -> Decoded:
    offset_s, duration_s = stretch
    rate_hz, total = recording.sample_rate_hz, recording.num_frames
    end = math.inf if duration_s is None else begin + round(duration_s * rate_hz)
    end = end if total is None else min(end, max(begin, total))
    resampler = None if rate_hz == SAMPLE_RATE_HZ else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
    meter, num_frames = ChannelMeter(rate_hz), 0
    buffer = _SampleBuffer(None if math.isinf(end) else math.ceil((end - begin) * SAMPLE_RATE_HZ / rate_hz))
    for block_SC in reader.blocks(begin, end, keep_from=later):
        num_frames += len(block_SC)
        if channel is not None:
            block_SC = block_SC[:, channel : channel + 1]
        mono = block_SC[:, 0] if block_SC.shape[1] == 1 else block_SC.mean(axis=1)
        if not meter.add(block_SC, mono):
            break
        mono = np.ascontiguousarray(mono, dtype=np.float32)
        buffer.add(mono if resampler is None else resampler.resample_chunk(mono))
    if meter.fault:
        raise InputError(f"{path}: {meter.fault}")
    _check_length(path, recording, offset_s, duration_s, num_frames / rate_hz)
    if resampler is not None:
        buffer.add(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return Decoded(buffer.samples(), meter.different_voices)


def _check_length(path: Path, recording: Recording, offset_s: float, duration_s: float | None, actual_s: float) -> None:
    if recording.num_frames is not None:
        total_s = recording.num_frames / recording.sample_rate_hz
        expected_s = min(max(0.0, total_s - offset_s), duration_s or math.inf)
        if expected_s - actual_s > EXACT_S if recording.is_exact else is_far_off(actual_s, expected_s):
            raise InputError(
                f"{path}: is damaged or cut short: of {total_s:.2f} s only {offset_s + actual_s:.2f} s can be decoded; "
                "get the file again"
            )
    if actual_s == 0:
        raise InputError(f"{path}: holds no audio{f' after second {offset_s:g}' if offset_s else ' (0 samples)'}")
    if duration_s is not None and is_far_off(actual_s, duration_s):
        raise InputError(f"{path}: ends at {offset_s + actual_s:.2f} s, before second {offset_s + duration_s:.2f}")


def _open(path: Path) -> Recording:
    return open_recording(path, _checked_header(path))


def _checked_header(path: Path) -> Header:
    """Read the header; raise InputError if the file is not a complete recording."""
    try:
        header = read_header(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        # Windows raises PermissionError for a directory
        if isinstance(error, (IsADirectoryError, PermissionError)) and path.is_dir():
            raise InputError(f"{path}: is a directory, not a recording") from None
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not header.head:
        raise InputError(f"{path}: is empty (0 bytes)")
    if header.fault:
        raise InputError(f"{path}: {header.fault}")
    _check_not_text(path, header.head)
    return header


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
