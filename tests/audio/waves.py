"""Small recordings, and what is done to their bytes."""

import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.float32]
RATE_HZ = 16_000
FORMATS = {
    "rf64": {"format": "RF64", "subtype": "PCM_16"},
    "sph": {"format": "NIST", "subtype": "PCM_16"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "wav": {"subtype": "PCM_16"},
}


def chirp(duration_s: float, rate_hz: int = RATE_HZ) -> Samples:
    """Return a tone that rises from 100 Hz, so that every moment differs from every other."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * (100 * t + 30 * t * t))).astype(np.float32)


def write(path: Path, samples: Samples, rate_hz: int = RATE_HZ, **options: object) -> Path:
    soundfile.write(path, samples, rate_hz, **(FORMATS.get(path.suffix[1:], {}) | options))
    return path


def write_aac(path: Path, samples: Samples, container: str | None = None) -> Path:
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream("aac", rate=RATE_HZ)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", RATE_HZ, stream.codec_context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(piece))
    return path


def joined(path: Path, *others: Path, between: bytes = b"") -> Path:
    """Concatenate files, as `cat` does."""
    path.write_bytes(between.join(other.read_bytes() for other in others))
    return path


def cut(path: Path, num_bytes: int) -> Path:
    """Take bytes away at the end."""
    path.write_bytes(path.read_bytes()[:-num_bytes])
    return path


def put(path: Path, at: int, layout: str, *values: int) -> Path:
    """Write numbers over the bytes at a place."""
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, at, *values)
    path.write_bytes(content)
    return path


def find(path: Path, name: bytes) -> int:
    return path.read_bytes().index(name)
