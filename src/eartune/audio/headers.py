"""What the headers of WAV, NIST and MP3 files promise, where libsndfile takes less without a word.

libsndfile 1.2.2 clamps a truncated WAV or NIST file to what is there, takes a WAV whose sizes were never filled in for
an empty one, and guesses the length of an MP3 without a Xing header and reads no further: 2 s of 20 s have been seen
where the bit rate varies.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Some recorders count the header itself, or padding, as audio.
TOLERATED_BYTES = 1024


@dataclass(frozen=True)
class RiffData:
    """The audio of a RIFF WAV file: where it begins, and its size as promised and as it is."""

    start: int
    declared_bytes: int
    held_bytes: int
    byte_rate: int
    riff_bytes: int
    file_bytes: int

    @property
    def is_stream(self) -> bool:
        """Whether the sizes are those of a writer that could not go back: 0, or the largest number there is."""
        # ffmpeg 0xFFFFFFFF, sox and arecord a little below 0x7FFFFFFF
        unfilled = self.declared_bytes == 0 and self.riff_bytes + 8 != self.file_bytes
        return unfilled or self.declared_bytes >= 0x7FFF_0000


@dataclass(frozen=True)
class Header:
    """How a file begins, where the audio of a WAV lies, and what is wrong with its length; '' where nothing is."""

    head: bytes
    riff: RiffData | None
    shortfall: str


def read_header(path: Path) -> Header:
    """Read what a file says about itself; OSError rises."""
    with path.open("rb") as file:
        head = file.read(512)
        riff = _read_riff(file, head) if head[:4] == b"RIFF" and head[8:12] == b"WAVE" else None
        if riff is not None and not riff.is_stream:
            shortfall = _shortfall(riff.declared_bytes, riff.held_bytes, riff.byte_rate)
        elif head[:4] == b"NIST":
            shortfall = _nist_shortfall(file)
        elif head[:3] == b"ID3" or head[:1] == b"\xff":
            shortfall = _mp3_shortfall(file)
        else:
            shortfall = ""
    return Header(head, riff, shortfall)


def _read_riff(file: BinaryIO, head: bytes) -> RiffData | None:
    """Find the chunk of samples, or None where there is none."""
    riff_bytes = int.from_bytes(head[4:8], "little")
    file_bytes = os.fstat(file.fileno()).st_size
    byte_rate, start = 0, 12
    while start + 8 <= file_bytes:
        file.seek(start)
        name, size = struct.unpack("<4sI", file.read(8))
        start += 8
        if name == b"data":
            return RiffData(start, size, file_bytes - start, byte_rate, riff_bytes, file_bytes)
        if name == b"fmt ":
            byte_rate = int.from_bytes(file.read(12)[8:12], "little")
        start += size + size % 2
    return None


def with_true_sizes(path: Path, riff: RiffData) -> bytes:
    """Return the file with the sizes filled in that its writer left at 0."""
    content = bytearray(path.read_bytes())
    content[4:8] = struct.pack("<I", riff.file_bytes - 8)
    content[riff.start - 4 : riff.start] = struct.pack("<I", riff.held_bytes)
    return bytes(content)


def _shortfall(declared_bytes: int, held_bytes: int, byte_rate: int) -> str:
    if declared_bytes - held_bytes <= TOLERATED_BYTES:
        return ""
    seconds = f" ({held_bytes / byte_rate:.1f} s of {declared_bytes / byte_rate:.1f} s)" if byte_rate else ""
    return f"the header promises {declared_bytes} bytes of audio and the file holds {held_bytes}{seconds}"


def _nist_shortfall(file: BinaryIO) -> str:
    """Source of the layout: NIST SPHERE, a text header of `name -type value` lines, its size on the second line."""
    file.seek(0)
    head = file.read(1024).decode("ascii", "replace")
    lines = head.splitlines()
    fields = {parts[0]: parts[2] for line in lines[2:] if len(parts := line.split()) == 3}
    if "," in fields.get("sample_coding", ""):  # compressed inside
        return ""
    try:
        frame_bytes = int(fields["sample_n_bytes"]) * int(fields["channel_count"])
        declared = int(fields["sample_count"]) * frame_bytes
        held = file.seek(0, 2) - int(lines[1])
        return _shortfall(declared, held, frame_bytes * int(fields["sample_rate"]))
    except (KeyError, ValueError, IndexError):
        return ""


@dataclass(frozen=True)
class Mp3Frame:
    """One frame of MPEG layer III."""

    num_bytes: int
    num_samples: int
    # where a Xing or Info header begins inside the first frame
    xing_at: int
    # version, layer and sample rate: what all frames of a file have in common
    kind: int


# kbit/s, ISO 11172-3 and 13818-3, layer III
_BITRATES_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mp3_samples(path: Path) -> int | None:
    """Count the samples per channel of an MP3 without a Xing header, frame by frame; None where it has one."""
    with path.open("rb") as file:
        begin, first, head = _first_frame(file)
        if first is None or _has_length(head, first):
            return None
        file.seek(begin)
        content = file.read()
    position, num_samples = 0, 0
    while position + 4 <= len(content):
        frame = _frame(content, position)
        if frame is None or frame.kind != first.kind:
            position = _resynchronise(content, position + 1, first.kind)
            if position < 0:
                break
            continue
        num_samples += frame.num_samples
        position += frame.num_bytes
    return num_samples


def _mp3_shortfall(file: BinaryIO) -> str:
    begin, first, head = _first_frame(file)
    if first is None or head[first.xing_at : first.xing_at + 4] not in (b"Xing", b"Info"):
        return ""
    flags = int.from_bytes(head[first.xing_at + 4 : first.xing_at + 8], "big")
    if flags & 3 != 3:
        return ""
    declared = int.from_bytes(head[first.xing_at + 12 : first.xing_at + 16], "big")
    held = file.seek(0, 2) - begin
    # Tags at the end make a file longer, and editors leave the count a frame or two off.
    return _shortfall(declared, held, 0) if held < 0.95 * declared else ""


def _first_frame(file: BinaryIO) -> tuple[int, Mp3Frame | None, bytes]:
    """Return where the first frame begins, the frame, and the bytes from there on; None where there is none."""
    file.seek(0)
    tag = file.read(10)
    begin = 0
    if tag[:3] == b"ID3" and len(tag) == 10:
        begin = 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9])
    file.seek(begin)
    head = file.read(16384)
    for skipped in range(len(head) - 4):
        frame = _frame(head, skipped)
        if frame and (_frame(head, skipped + frame.num_bytes) or skipped == 0):
            return begin + skipped, frame, head[skipped:]
    return begin, None, b""


def _has_length(head: bytes, first: Mp3Frame) -> bool:
    # Fraunhofer's VBRI stands at a fixed place
    return head[first.xing_at : first.xing_at + 4] in (b"Xing", b"Info") or head[36:40] == b"VBRI"


def _resynchronise(content: bytes, position: int, kind: int) -> int:
    """Return the next place where two frames follow one another, or -1."""
    while (position := content.find(b"\xff", position)) >= 0:
        frame = _frame(content, position)
        if frame and frame.kind == kind and _frame(content, position + frame.num_bytes):
            return position
        position += 1
    return -1


def _frame(content: bytes, at: int) -> Mp3Frame | None:
    header = int.from_bytes(content[at : at + 4], "big")
    version, layer = header >> 19 & 3, header >> 17 & 3
    bitrate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return None
    mpeg1, mono = version == 3, header >> 6 & 3 == 3
    kbps = (_BITRATES_MPEG1 if mpeg1 else _BITRATES_MPEG2)[bitrate]
    num_samples = 1152 if mpeg1 else 576
    num_bytes = num_samples // 8 * kbps * 1000 // _SAMPLE_RATES_HZ[version][rate] + padding
    side_bytes = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[mpeg1, mono]
    return Mp3Frame(num_bytes, num_samples, 4 + side_bytes, header >> 17 << 2 | rate)
