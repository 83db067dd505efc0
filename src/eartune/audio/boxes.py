"""MP4 boxes, Matroska elements and AMR frames that extend beyond the end of the file."""

from __future__ import annotations

import os
from typing import BinaryIO

from eartune.audio.chunks import CONCATENATED, cut_inside

# bytes after the first of a frame of 20 ms, by its frame type (RFC 4867)
_AMR_BYTES = {
    b"#!AMR\n": (12, 13, 15, 17, 19, 20, 26, 31, 5, 6, 5, 5, 0, 0, 0, 0),
    b"#!AMR-WB\n": (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0),
}
_EBML = b"\x1a\x45\xdf\xa3"
_CONCATENATED = -1
_SEGMENT = b"\x18\x53\x80\x67"


def container_shortfall(file: BinaryIO, head: bytes) -> str:
    """Return what is missing at the end of an MP4, Matroska or AMR file, or ''."""
    for magic, sizes in _AMR_BYTES.items():
        if head.startswith(magic):
            return _amr_fault(file, len(magic), sizes)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"styp"):
        missing = _missing_of_boxes(file)
    elif head[:4] == _EBML:
        missing = _missing_of_segment(file, head)
        if missing < 0:
            file.seek(missing, os.SEEK_END)
            missing = _CONCATENATED if file.read(4) == _EBML else 0
    else:
        missing = 0
    if missing == _CONCATENATED:
        return CONCATENATED
    return f"is cut short: its last {missing} bytes are missing; get the file again" if missing > 0 else ""


def _amr_fault(file: BinaryIO, position: int, sizes: tuple[int, ...]) -> str:
    file.seek(0)
    content = file.read()
    num_frames = 0
    while position < len(content):
        position += 1 + sizes[content[position] >> 3 & 15]
        num_frames += 1
    return cut_inside("frame", (num_frames - 1) * 0.02) if position > len(content) else ""


def _missing_of_boxes(file: BinaryIO) -> int:
    file_bytes, position, size = os.fstat(file.fileno()).st_size, 0, 0
    while position + 8 <= file_bytes:
        file.seek(position)
        begin = file.read(16)
        size = int.from_bytes(begin[:4], "big")
        if size == 1:
            size = int.from_bytes(begin[8:16], "big")
        if size == 0:  # to the end
            return 0
        if position and begin[4:8] == b"ftyp":
            return _CONCATENATED
        if size < 8 or not begin[4:8].strip().isalnum():
            return 0
        position += size
    return position - file_bytes


def _missing_of_segment(file: BinaryIO, head: bytes) -> int:
    at = head.find(_SEGMENT)
    if at < 0 or at + 12 > len(head) or not head[at + 4]:
        return 0
    width = 9 - head[at + 4].bit_length()
    size = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
    if size == (1 << 7 * width) - 1:  # unknown: it was written as a stream
        return 0
    return at + 4 + width + size - os.fstat(file.fileno()).st_size
