"""Formats that libsndfile does not know (m4a, aac, webm, mp4, ...), read through PyAV, the optional extra `media`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eartune.errors import InputError

# Codecs need a little before the place asked for; Opus is the neediest with 80 ms.
PREROLL_S = 0.2

# In a bare stream FFmpeg guesses lengths, and times after a seek.
BARE_STREAMS = ("aac", "mp3")


@dataclass(frozen=True)
class MediaInfo:
    """What FFmpeg says of the first audio stream."""

    duration_s: float
    sample_rate_hz: int
    channels: int
    codec: str


def probe_media(path: Path) -> MediaInfo:
    """Return what the container says; count the packets where it does not say how long it is."""
    with _open(path) as (_, container, stream):
        context = stream.codec_context
        duration_s = _declared_s(container, stream)
        if duration_s is None:
            duration_s = float(sum(packet.duration or 0 for packet in container.demux(stream)) * stream.time_base)
        if duration_s <= 0:
            raise InputError(f"{path}: holds no audio (0 samples)")
        return MediaInfo(duration_s, context.sample_rate, context.layout.nb_channels, context.name)


def decode_media(
    path: Path, offset_s: float, duration_s: float | None
) -> tuple[npt.NDArray[np.float32], int, float | None]:
    """Return a stretch of the first audio stream, [samples, channels], its sample rate in Hz, and the whole length."""
    rate_hz, skip, num_samples, needed = 0, 0, 0, math.inf
    with _open(path) as (av, container, stream):
        parts_CS: list[npt.NDArray[np.float32]] = []
        to_float = av.AudioResampler(format="fltp")
        for start_s, frame in _frames_from(container, stream, offset_s):
            if not num_samples:
                rate_hz = frame.sample_rate
                skip = max(0, round((offset_s - start_s) * rate_hz))
                needed = math.inf if duration_s is None else skip + round(duration_s * rate_hz)
            parts_CS += [part.to_ndarray() for part in to_float.resample(frame)]
            num_samples += frame.samples
            if num_samples >= needed:
                break
        if not num_samples:
            where = f" after second {offset_s:g}" if offset_s else " (0 samples)"
            raise InputError(f"{path}: holds no audio{where}")
        end = None if math.isinf(needed) else int(needed)
        return np.concatenate(parts_CS, axis=1).T[skip:end], rate_hz, _declared_s(container, stream)


def _declared_s(container: Any, stream: Any) -> float | None:
    if container.format.name in BARE_STREAMS:
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # a film may last longer than its sound
    if container.duration is None or len(container.streams) > 1:
        return None
    return float(container.duration / 1e6)


def _frames_from(container: Any, stream: Any, offset_s: float) -> Iterator[tuple[float, Any]]:
    """Yield (time since the first sample in seconds, frame), beginning at or before `offset_s`."""
    frames = container.decode(stream)
    first = next(frames, None)
    if first is None:
        return
    # The stream's own start time is that of its first packet, part of which a decoder may drop.
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
