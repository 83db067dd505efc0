"""Ogg files page by page: the starts of chained streams, and faults such as an incomplete last page.

Source: RFC 3533. libsndfile reads the first stream of a chain, and ignores an incomplete page.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from eartune.audio.chunks import cut_inside

_FIRST, _HEADER_BYTES = 2, 27
_NO_GRANULE = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True)
class OggChain:
    """The streams of a file, each as (first byte, end), and their fault or ''."""

    streams: tuple[tuple[int, int], ...]
    fault: str


def read_ogg(path: Path) -> OggChain:
    """Read the pages of a file that begins with one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begins, position, ended, granule = [0], 0, 0, 0
        only_first_pages, is_cut = True, False
        numbers: dict[bytes, int] = {}
        missing = 0
        while position + 4 <= len(content):
            if content[position : position + 4] != b"OggS":
                position = content.find(b"OggS", position)
                if position < 0:
                    break
                continue
            end = _page_end(content, position)
            if end is None:
                is_cut = True
                break
            is_first = bool(content[position + 5] & _FIRST)
            if is_first and not only_first_pages:
                begins.append(position)
                granule = 0
                numbers = {}
            serial, number = content[position + 14 : position + 18], content[position + 18 : position + 22]
            before, numbers[serial] = numbers.get(serial), int.from_bytes(number, "little")
            # a recording of a live stream has the headers, and then pages from the middle of the stream
            if granule and before is not None:
                missing += max(0, numbers[serial] - before - 1)
            only_first_pages = is_first
            place = struct.unpack("<Q", content[position + 6 : position + 14])[0]
            granule = granule if place == _NO_GRANULE else place
            position = ended = end
        rate_hz = _rate_hz(content)
    streams = tuple(zip(begins, [*begins[1:], ended], strict=True))
    fault = f"is damaged: {missing} of its pages are missing; get the file again" if missing else ""
    return OggChain(streams, cut_inside("page", granule / rate_hz if rate_hz else 0.0) if is_cut else fault)


def _page_end(content: mmap.mmap, position: int) -> int | None:
    head = content[position : position + _HEADER_BYTES]
    if len(head) < _HEADER_BYTES:
        return None
    body = position + _HEADER_BYTES + head[26]
    lengths = content[position + _HEADER_BYTES : body]
    end = body + sum(lengths)
    return end if len(lengths) == head[26] and end <= len(content) else None


def _rate_hz(content: mmap.mmap) -> int:
    """Return the granules per second: always 48000 in Opus."""
    begin = content[:64]
    if b"OpusHead" in begin:
        return 48_000
    at = begin.find(b"\x01vorbis")
    return int.from_bytes(begin[at + 12 : at + 16], "little") if at >= 0 else 0
