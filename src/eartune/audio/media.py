"""Formats that libsndfile does not support (m4a, aac, webm, mp4, ...), read by PyAV, the optional extra `media`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eartune.errors import InputError

# Codecs need some input before the requested position; Opus needs the most, 80 ms.
PREROLL_S = 0.2

# A length is compared with the last packet, which is within this time before the end.
TAIL_S = 0.5
# padding that encoders add to the last packets
PADDING_S = 0.25

# In a bare stream FFmpeg guesses lengths, and times after a seek.
BARE_STREAMS = ("aac", "mp3")


@dataclass(frozen=True)
class MediaInfo:
    """FFmpeg's description of the first audio stream."""

    duration_s: float
    sample_rate_hz: int
    channels: int
    codec: str


def probe_media(path: Path) -> MediaInfo:
    """Return the container's values, with the length checked against its last packet, or counted if not declared.

    Raises InputError if the container declares a longer stream than it has.
    """
    with _open(path) as (_, container, stream):
        context = stream.codec_context
        duration_s = _declared_s(container, stream)
        if duration_s is None:
            duration_s = float(sum(packet.duration or 0 for packet in container.demux(stream)) * stream.time_base)
        else:
            duration_s = _actual_s(path, container, stream, duration_s)
        name = context.name
    # a decoder may output twice the sample rate of the header, and two channels for one
    with _open(path) as (_, container, stream):
        first = next(container.decode(stream), None)
        if duration_s <= 0 or first is None:
            raise InputError(f"{path}: holds no audio (0 samples)")
        return MediaInfo(duration_s, first.sample_rate, first.layout.nb_channels, name)


def _actual_s(path: Path, container: Any, stream: Any, declared_s: float) -> float:
    """Return the end of the last packet if later than `declared_s`, else `declared_s`; refuse a far earlier end."""
    base = stream.start_time or 0
    container.seek(base + int(max(0.0, declared_s - TAIL_S) / stream.time_base), stream=stream)
    last_s = 0.0
    for packet in container.demux(stream):
        if packet.pts is not None:
            last_s = max(last_s, float((packet.pts - base + (packet.duration or 0)) * stream.time_base))
    if last_s > 0 and declared_s - last_s > max(TAIL_S, 0.05 * declared_s):
        raise InputError(
            f"{path}: is damaged or cut short: of {declared_s:.2f} s only {last_s:.2f} s can be read; "
            "get the file again"
        )
    return last_s if last_s - declared_s > PADDING_S else declared_s


def media_blocks(path: Path, begin_s: float) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks of the first audio stream, [samples, channels], from `begin_s` to the end."""
    rate_hz = num_channels = skip = 0
    with _open(path) as (av, container, stream):
        to_float = av.AudioResampler(format="fltp")
        for start_s, frame in _frames_from(container, stream, begin_s):
            if not rate_hz:
                rate_hz, num_channels = frame.sample_rate, frame.layout.nb_channels
                skip = max(0, round((begin_s - start_s) * rate_hz))
            if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, num_channels):
                raise InputError(
                    f"{path}: changes from {rate_hz} Hz and {num_channels} channels to {frame.sample_rate} Hz and "
                    f"{frame.layout.nb_channels}: it consists of several concatenated recordings; split it"
                )
            for part in to_float.resample(frame):
                samples_SC = part.to_ndarray().T
                kept = samples_SC[skip:]
                skip -= len(samples_SC) - len(kept)
                if len(kept):
                    yield kept


def _declared_s(container: Any, stream: Any) -> float | None:
    if container.format.name in BARE_STREAMS:
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # a video may be longer than its audio
    if container.duration is None or len(container.streams) > 1:
        return None
    return float(container.duration / 1e6)


def _frames_from(container: Any, stream: Any, offset_s: float) -> Iterator[tuple[float, Any]]:
    """Yield (time since the first sample in seconds, frame), beginning at or before `offset_s`."""
    frames = container.decode(stream)
    first = next(frames, None)
    if first is None:
        return
    # The stream's start time is that of its first packet, part of which a decoder may drop.
    base_s = first.time or 0.0
    if offset_s <= PREROLL_S or container.format.name in BARE_STREAMS:
        yield 0.0, first
    else:
        container.seek(int((base_s + offset_s - PREROLL_S) / stream.time_base), stream=stream)
        frames = container.decode(stream)
    for frame in frames:
        yield (frame.time or 0.0) - base_s, frame


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Yield PyAV, the opened file and its first audio stream."""
    try:
        import av  # noqa: PLC0415  optional: only these formats need it
    except ImportError:
        raise InputError(
            f"{path}: libsndfile cannot read this file. If it plays elsewhere (m4a, aac, webm, mp4, an MP3 of varying "
            "bit rate without a Xing header), install PyAV: pip install eartune[media]"
        ) from None
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise InputError(f"{path}: holds no audio stream")
            stream = container.streams.audio[0]
            context = stream.codec_context
            if context is None or not context.sample_rate or not context.layout.nb_channels:
                raise InputError(f"{path}: neither libsndfile nor FFmpeg can read it: its header is damaged")
            yield av, container, stream
    except InputError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{path}: neither libsndfile nor FFmpeg can read it: {error}") from error
