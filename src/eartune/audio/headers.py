"""Headers of recordings: corrections of their lengths, and their faults; regular files only."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from eartune.audio.adts import adts_fault
from eartune.audio.boxes import container_shortfall
from eartune.audio.byte_view import Patch
from eartune.audio.chunks import read_sample_data
from eartune.audio.flac import FlacLength, read_flac
from eartune.audio.mp3 import Mpeg, read_mp3
from eartune.audio.ogg import OggChain, read_ogg


@dataclass(frozen=True)
class Header:
    """The first bytes of a file, and its true length where libsndfile would trust a wrong header.

    `patches` correct the header. `fault` is what is wrong, as a sentence without its subject, or ''.
    """

    head: bytes
    patches: tuple[Patch, ...] = ()
    fault: str = ""
    mpeg: Mpeg | None = None
    ogg: OggChain | None = None
    flac: FlacLength | None = None


def read_header(path: Path) -> Header:
    """Read the header of a file. Raises OSError."""
    if not stat.S_ISREG(mode := path.stat().st_mode):
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(path)
        return Header(b"?", fault="is a pipe or a device, not a file, and may have no end; save it as a file first")
    with path.open("rb") as file:
        head = file.read(512)
        begin = _after_id3(head)
        if begin:
            file.seek(begin)
            inner = file.read(4)
        else:
            inner = head[:4]
        if inner == b"fLaC":
            flac = read_flac(file, begin)
            return Header(head) if flac is None else Header(head, flac.patches, flac.fault, flac=flac)
        if inner == b"OggS" and not begin:
            chain = read_ogg(path)
            return Header(head, fault=chain.fault, ogg=chain)
        if inner[:1] == b"\xff" and len(inner) > 1 and inner[1] & 0xF6 == 0xF0:
            return Header(head, fault=adts_fault(path))
        if inner[:1] == b"\xff" or begin:
            mpeg = read_mp3(path)
            return Header(head) if mpeg is None else Header(head, fault=mpeg.fault, mpeg=mpeg)
        data = read_sample_data(file, head)
        if data is not None:
            return Header(head, data.patches, data.fault)
        return Header(head, fault=container_shortfall(file, head))


def _after_id3(head: bytes) -> int:
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
