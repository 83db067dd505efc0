"""The true length of a FLAC file, from its last frame. Source: RFC 9639."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from eartune.audio.byte_view import Patch
from eartune.audio.chunks import cut_inside

# how every FLAC file begins: the magic, and the header of its 34 bytes of stream information
_BEGIN = b"fLaC\0\0\0\x22"
# twice the largest frame in use: 4096 samples of two channels of 24 bits take 24 KiB
_TAIL_BYTES = 1 << 16
# bytes of a frame whose checksum is computed in one step
_STEP_BYTES = 1024
_TOTAL_MASK = (1 << 36) - 1
_BLOCK_SIZES = {1: 192, **{n: 576 << n - 2 for n in range(2, 6)}, **{n: 256 << n - 8 for n in range(8, 16)}}


@dataclass(frozen=True)
class FlacLength:
    """Samples per channel as declared (0: never filled in) and as counted by the last frame."""

    declared: int
    actual: int
    fault: str
    patches: tuple[Patch, ...]


def read_flac(file: BinaryIO, begin: int) -> FlacLength | None:
    """Compare the declared number of samples with the last frame; None if that cannot be found."""
    file.seek(begin)
    head = file.read(42)
    if len(head) < 42 or head[4] & 0x7F != 0:
        return None
    rate_hz = int.from_bytes(head[18:21], "big") >> 4
    word = int.from_bytes(head[18:26], "big")
    declared = word & _TOTAL_MASK
    file_bytes = os.fstat(file.fileno()).st_size
    file.seek(max(begin + 42, file_bytes - _TAIL_BYTES))
    tail = file.read()
    block = int.from_bytes(head[10:12], "big")
    patch = (begin + 18, (word & ~_TOTAL_MASK).to_bytes(8, "big"))
    at, actual = _last_frame(tail, block, certain=True)
    if at < 0:
        return None
    if actual == declared:
        return FlacLength(declared, actual, "", ())
    whole = (begin + 18, (word & ~_TOTAL_MASK | actual).to_bytes(8, "big"))
    partial = _last_frame(tail[at + 2 :], block, certain=False)[0] >= 0
    if declared > actual or (not declared and partial):
        seconds = f"{actual / rate_hz:.2f} s of {declared / rate_hz:.2f} s" if declared and rate_hz else ""
        fault = f"is cut short: the header declares more than the file has ({seconds}); get the file again"
        return FlacLength(
            declared, actual, fault if seconds else cut_inside("frame", actual / (rate_hz or 1)), (patch,)
        )
    return FlacLength(declared, actual, "", (whole,))


def holds_another(path: Path) -> bool:
    """Return whether a second FLAC file follows the first; this reads the whole file."""
    stat = path.stat()
    return _holds_another(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _holds_another(path: Path, size: int, _changed: int) -> bool:
    if size < len(_BEGIN):
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_BEGIN, content.find(_BEGIN) + 1) > 0


def _last_frame(tail: bytes, block: int, *, certain: bool) -> tuple[int, int]:
    """Return the start of the last frame and the number of the sample after it; -1 if there is none.

    `certain`: only a frame with a correct checksum, which takes longer.
    """
    ends = _possible_ends(tail) if certain else []
    at = len(tail)
    while (at := max(tail.rfind(b"\xff\xf8", 0, at), tail.rfind(b"\xff\xf9", 0, at))) >= 0:
        after = _sample_after(tail[at : at + 16], block)
        if after is None:
            continue
        if not certain or any(end > at and _crc16(tail[at:end]) == 0 for end in ends):
            return at, after
        ends.append(at)
    return -1, -1


def _possible_ends(tail: bytes) -> list[int]:
    """Return the possible ends of the last frame: that of the file, or before a tag or zeros."""
    tags = [tail.rfind(name) for name in (b"TAG", b"ID3", b"APETAGEX")]
    filled = len(tail.rstrip(b"\0"))
    return sorted({len(tail), *(tag for tag in tags if tag > 0), *range(filled, min(filled + 3, len(tail)))})


def _sample_after(head: bytes, block: int) -> int | None:
    if len(head) < 6:
        return None
    size_code, rate_code, number_at = head[2] >> 4, head[2] & 15, 4
    length = 8 - (head[4] ^ 0xFF).bit_length()
    if length in (1, 8):
        return None
    extra = max(0, length - 1)
    number = head[4] if length == 0 else head[4] & (0x7F >> length)
    for byte in head[number_at + 1 : number_at + 1 + extra]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    at = number_at + 1 + extra
    if size_code in (6, 7):
        width = size_code - 5
        samples = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    elif size_code in _BLOCK_SIZES:
        samples = _BLOCK_SIZES[size_code]
    else:
        return None
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if rate_code == 15 or at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return number + samples if head[1] & 1 else number * block + samples


def _crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def _crc16_table() -> npt.NDArray[np.uint16]:
    crc = np.arange(256, dtype=np.uint32) << 8
    for _ in range(8):
        crc = np.where(crc & 0x8000, crc << 1 ^ 0x8005, crc << 1) & 0xFFFF
    return crc.astype(np.uint16)


_CRC16 = _crc16_table()


@lru_cache(maxsize=1)
def _crc16_tables() -> npt.NDArray[np.uint16]:
    """Return the contribution of a byte to the checksum, by the number of bytes after it."""
    tables = np.empty((_STEP_BYTES, 256), np.uint16)
    tables[0] = _CRC16
    for place in range(1, _STEP_BYTES):
        tables[place] = _shifted(tables[place - 1])
    return tables


def _shifted(crc: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    shifted: npt.NDArray[np.uint16] = (crc << 8) ^ _CRC16[crc >> 8]
    return shifted


def _crc16(content: bytes) -> int:
    """Return the checksum of a frame, 0 if the frame ends with its own correct one."""
    tables, crc = _crc16_tables(), 0
    values = np.frombuffer(content, np.uint8)
    for first in range(0, len(values), _STEP_BYTES):
        step = values[first : first + _STEP_BYTES].copy()
        # the checksum so far acts like two bytes at the beginning of this step
        step[: min(2, len(step))] ^= np.array([crc >> 8, crc & 0xFF], np.uint8)[: len(step)]
        before = crc << 8 & 0xFFFF if len(step) == 1 else 0
        crc = int(np.bitwise_xor.reduce(tables[len(step) - 1 :: -1][np.arange(len(step)), step])) ^ before
    return crc
