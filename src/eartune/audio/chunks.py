"""Positions and sizes of samples in WAV, RF64, W64, AIFF, CAF, AU and NIST files, even where headers are wrong.

Sources of the layouts: RFC 2361 and EBU Tech 3306 (RF64), Sony's W64, Apple's AIFF-C and CAF, NeXT's .snd, NIST SPHERE.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from eartune.audio.byte_view import Patch

# Some recorders count the header itself, or padding, as audio.
TOLERATED_BYTES = 1024
# Sizes of writers that could not seek back to fill them in: ffmpeg's 0xFFFFFFFF, sox's and arecord's a little below
# 0x7FFFFFFF.
UNFILLED_FROM = 0x7FFF_0000
CONCATENATED = "consists of several concatenated recordings, of which only the first would be read; split it"

_W64_GUID = {name: name + bytes.fromhex("f3acd3118cd100c04f8edb8a") for name in (b"wave", b"fmt ", b"data")}
_AU_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_AIFF_COMPRESSED = (b"ima4", b"MAC3", b"MAC6", b"GSM ", b"G722", b"Qclp", b"QDMC")
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")


@dataclass(frozen=True)
class SampleData:
    """The samples of a file: their start, and their size as declared (None: never filled in) and in fact.

    `frame_bytes`, of one sample of all channels or of one packet, and `bytes_per_s` are 0 if unknown.
    `after` is the fault of unexpected data after the samples. `sizes` are patches that put the actual sizes into the
    header.
    """

    start: int
    declared_bytes: int | None
    actual_bytes: int
    frame_bytes: int
    bytes_per_s: float
    after: str = ""
    sizes: tuple[Patch, ...] = ()

    @property
    def patches(self) -> tuple[Patch, ...]:
        """Patches for sizes that were never filled in."""
        return self.sizes if self.declared_bytes is None else ()

    @property
    def fault(self) -> str:
        """The fault of the length, or ''."""
        missing = 0 if self.declared_bytes is None else self.declared_bytes - self.actual_bytes
        if missing > TOLERATED_BYTES:
            seconds = f" ({self._s(self.actual_bytes)} of {self._s(self.declared_bytes)})" if self.bytes_per_s else ""
            sizes = f"the header declares {self.declared_bytes} bytes of audio, but the file has {self.actual_bytes}"
            return f"is cut short: {sizes}{seconds}; get the file again"
        is_open = self.declared_bytes is None or missing > 0
        if is_open and self.frame_bytes and self.actual_bytes % self.frame_bytes:
            return cut_inside("sample", self.actual_bytes / self.bytes_per_s if self.bytes_per_s else 0.0)
        return self.after

    def _s(self, num_bytes: int | None) -> str:
        assert num_bytes is not None
        return f"{num_bytes / self.bytes_per_s:.1f} s" if self.bytes_per_s else f"{num_bytes} bytes"


def cut_inside(what: str, actual_s: float) -> str:
    """Return the fault of a file that ends inside a frame."""
    return (
        f"is cut short: it ends inside a {what}, after {actual_s:.2f} s; get the file again, or convert what is there"
    )


def read_sample_data(file: BinaryIO, head: bytes) -> SampleData | None:
    """Find the samples; None if the format is not one of these or its header is incomplete."""
    try:
        if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
            return _wav(file, head)
        if head[:4] == b"riff" and head[24:40] == _W64_GUID[b"wave"]:
            return _w64(file)
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return _aiff(file)
        if head[:4] == b"caff":
            return _caf(file)
        if head[:4] in (b".snd", b"dns."):
            return _au(file, head)
        if head[:4] == b"NIST":
            return _nist(file)
    except (struct.error, ValueError, KeyError, IndexError, OverflowError):
        pass
    return None


def _wav(file: BinaryIO, head: bytes) -> SampleData | None:
    file_bytes = _size(file)
    frame_bytes, bytes_per_s = 0, 0
    sizes: list[Patch] = [(0, b"RF64")] if head[:4] == b"BW64" else []
    wide: int | None = None
    for name, size, start in _chunks(file, 12, "<4sI"):
        if name == b"fmt ":
            _, _, _, bytes_per_s, frame_bytes = struct.unpack("<HHIIH", file.read(14))
        elif name == b"ds64":
            wide = struct.unpack("<Q", file.read(16)[8:])[0]
            ds64_at = start
        elif name == b"data":
            actual = file_bytes - start
            if head[:4] == b"RIFF":
                declared = _filled(size)
                small = min(actual, 0xFFFF_0000)
                sizes += [
                    (4, struct.pack("<I", min(file_bytes - 8, 0xFFFF_FFFE))),
                    (start - 4, struct.pack("<I", small)),
                ]
            else:
                declared = wide if size == 0xFFFF_FFFF else size
                declared = _filled(declared or 0, limit=1 << 62)
                declared = None if declared == 0xFFFF_FFFF else declared
                if wide is not None:
                    counts = (file_bytes - 8, actual, actual // (frame_bytes or 1))
                    sizes.append((ds64_at, struct.pack("<QQQ", *counts)))
            after = ""
            if size == 0 and _chain(file, start, "<4sI") in (b"", b"chunks"):
                declared = actual = 0  # chunks follow at once: the file is really empty
            elif declared is not None and declared < actual:
                after = _after(file, start, declared, bytes_per_s, "<4sI")
            return SampleData(start, declared, actual, frame_bytes, bytes_per_s, after, tuple(sizes))
    return None


def _w64(file: BinaryIO) -> SampleData | None:
    file_bytes = _size(file)
    position, frame_bytes, bytes_per_s = 40, 0, 0
    while position + 24 <= file_bytes:
        file.seek(position)
        name, size = struct.unpack("<16sQ", file.read(24))
        if name == _W64_GUID[b"fmt "]:
            _, _, _, bytes_per_s, frame_bytes = struct.unpack("<HHIIH", file.read(14))
        if name == _W64_GUID[b"data"]:
            start = position + 24
            actual = file_bytes - start
            declared = None if size <= 24 < actual or size >= 1 << 62 else size - 24
            sizes = ((16, struct.pack("<Q", file_bytes)), (position + 16, struct.pack("<Q", actual + 24)))
            after = "" if declared is None else _after(file, start, declared, bytes_per_s, "")
            return SampleData(start, declared, actual, frame_bytes, bytes_per_s, after, sizes)
        if size < 24:
            return None
        position += size + -size % 8
    return None


def _aiff(file: BinaryIO) -> SampleData | None:
    file_bytes = _size(file)
    channels = frames = bits = comm_at = 0
    rate_hz, kind = 0.0, b"NONE"
    for name, size, start in _chunks(file, 12, ">4sI"):
        if name == b"COMM":
            comm_at = start
            content = file.read(min(size, 22))
            channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", content[:18])
            rate_hz = mantissa * 2.0 ** (exponent - 16383 - 63)
            kind = content[18:22] or kind
        elif name == b"SSND" and comm_at:
            plain = kind not in _AIFF_COMPRESSED
            sample_bytes = {b"ulaw": 1, b"alaw": 1, b"ULAW": 1, b"ALAW": 1}.get(kind, (bits + 7) // 8)
            frame_bytes = channels * sample_bytes if plain else 0
            skip = 8 + struct.unpack(">I", file.read(4))[0]
            actual = file_bytes - start - skip
            declared = None if size <= 8 < actual or size >= UNFILLED_FROM else size - skip
            counted = frames * frame_bytes
            bytes_per_s = rate_hz * frame_bytes
            sizes = (
                (4, struct.pack(">I", file_bytes - 8)),
                (start - 4, struct.pack(">I", actual + skip)),
                (comm_at + 2, struct.pack(">I", actual // (frame_bytes or 1))),
            )
            after = "" if declared is None else _after(file, start + skip, declared, bytes_per_s, ">4sI")
            if declared is not None and plain and abs(counted - declared) > TOLERATED_BYTES:
                if counted == 0 and declared <= actual:
                    return SampleData(start + skip, None, declared, frame_bytes, bytes_per_s, "", (sizes[2],))
                after = after or _other_length(counted, min(declared, actual), bytes_per_s)
            return SampleData(start + skip, declared, actual, frame_bytes, bytes_per_s, after, sizes)
    return None


def _caf(file: BinaryIO) -> SampleData | None:
    file_bytes = _size(file)
    frame_bytes, bytes_per_s = 0, 0.0
    for name, size, start in _chunks(file, 8, ">4sQ", padded=False):
        if name == b"desc":
            rate_hz, kind, _, packet_bytes, packet_frames = struct.unpack(">d4sIII", file.read(24))
            if kind in (b"lpcm", b"ulaw", b"alaw") and packet_frames == 1:
                frame_bytes, bytes_per_s = packet_bytes, rate_hz * packet_bytes
        elif name == b"data":
            actual = file_bytes - start - 4
            declared = None if size >= 1 << 62 or size <= 4 < actual else size - 4
            after = "" if declared is None else _after(file, start + 4, declared, bytes_per_s, ">4sQ")
            sizes = ((start - 8, struct.pack(">Q", actual + 4)),)
            return SampleData(start + 4, declared, actual, frame_bytes, bytes_per_s, after, sizes)
    return None


def _au(file: BinaryIO, head: bytes) -> SampleData:
    order = ">" if head[:4] == b".snd" else "<"
    start, size, encoding, rate_hz, channels = struct.unpack(f"{order}5I", head[4:24])
    actual = max(0, _size(file) - start)
    frame_bytes = _AU_SAMPLE_BYTES.get(encoding, 0) * channels
    declared = _filled(size) if size or not actual else None
    after = "" if declared is None else _after(file, start, declared, rate_hz * frame_bytes, "")
    sizes = ((8, struct.pack(f"{order}I", min(actual, UNFILLED_FROM))),)
    return SampleData(start, declared, actual, frame_bytes, rate_hz * frame_bytes, after, sizes)


def _nist(file: BinaryIO) -> SampleData | None:
    """Read the text header of `name -type value` lines, its size on the second line."""
    file.seek(0)
    lines = file.read(1024).decode("ascii", "replace").splitlines()
    fields = {parts[0]: parts[2] for line in lines[2:] if len(parts := line.split()) == 3}
    if "," in fields.get("sample_coding", ""):  # compressed inside
        return None
    frame_bytes = int(fields["sample_n_bytes"]) * int(fields["channel_count"])
    declared = int(fields["sample_count"]) * frame_bytes
    start, bytes_per_s = int(lines[1]), frame_bytes * int(fields["sample_rate"])
    after = _after(file, start, declared, bytes_per_s, "")
    return SampleData(start, declared, _size(file) - start, frame_bytes, bytes_per_s, after)


def _filled(size: int, *, limit: int = UNFILLED_FROM) -> int | None:
    return None if size == 0 or size >= limit else size


def _chunks(file: BinaryIO, position: int, layout: str, *, padded: bool = True) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, size, position of the content), with the file at the content."""
    width, file_bytes = struct.calcsize(layout), _size(file)
    while position + width <= file_bytes:
        file.seek(position)
        name, size = struct.unpack(layout, file.read(width))
        yield name, size, position + width
        position += width + size + (size % 2 if padded else 0)


def _after(file: BinaryIO, start: int, declared: int, bytes_per_s: float, layout: str) -> str:
    """Return the fault of data after the samples: '' for chunks, tags and padding, which may follow them."""
    end = start + declared
    # an odd number of bytes is padded, or should be
    ends = (end, end + declared % 2)
    found = [_chain(file, place, layout) for place in ends]
    if b"RIFF" in found:
        return CONCATENATED
    if b"data" in found:
        return "has its samples in several parts, of which only the first would be read; convert it again"
    if b"" in found or b"chunks" in found:
        return ""
    return _other_length(declared, _size(file) - start, bytes_per_s)


def _other_length(declared: int, actual: int, bytes_per_s: float) -> str:
    if not bytes_per_s:
        return ""
    return (
        f"the header declares {declared / bytes_per_s:.1f} s, but the file has {actual / bytes_per_s:.1f} s; "
        "convert it again, so that its length is clear"
    )


def _chain(file: BinaryIO, position: int, layout: str) -> bytes:
    """Classify the data up to the end: b'' nothing relevant, b'chunks', an unexpected chunk by its name, or b'?'."""
    file_bytes, found = _size(file), b""
    width = struct.calcsize(layout) if layout else 0
    while file_bytes - position > TOLERATED_BYTES or (layout and position + width <= file_bytes):
        file.seek(position)
        begin = file.read(16)
        if begin.startswith(_TAGS):
            return found
        name, size = struct.unpack(layout, begin[:width]) if layout and len(begin) >= width else (b"", 0)
        is_chunk = name.isascii() and name.strip().isalnum() and position + width + size <= file_bytes + 1
        if name in (b"RIFF", b"RF64", b"FORM") or begin[:4] in (b".snd", b"NIST", b"riff", b"caff"):
            return b"RIFF"
        if not is_chunk:
            return b"?" if file_bytes - position > TOLERATED_BYTES and not _is_zero(file, position) else found
        if name in (b"data", b"SSND"):
            return b"data"
        found = b"chunks"
        position += width + size + size % 2
    return found


def _is_zero(file: BinaryIO, position: int) -> bool:
    file.seek(position)
    while block := file.read(1 << 20):
        if any(block):
            return False
    return True


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
