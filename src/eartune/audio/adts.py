"""Faults of bare AAC streams (ADTS), frame by frame: cut short, or several concatenated.

Source: ISO 13818-7.
"""

from __future__ import annotations

import mmap
from pathlib import Path

from eartune.audio.chunks import cut_inside
from eartune.audio.mpeg_frames import end_of_tag

_AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def adts_fault(path: Path) -> str:
    """Return the fault of a bare AAC stream, '' if it ends with a frame and keeps its sample rate and channels."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position, num_samples, first = 0, 0, b""
        while (after := end_of_tag(content, position)) is not None:
            position = after
        while position + 7 <= len(content):
            if content[position] != 0xFF or content[position + 1] & 0xF6 != 0xF0:
                after = end_of_tag(content, position)
                if after is None:
                    break  # junk, which FFmpeg skips
                position = after
                continue
            # profile, sample rate and channels
            head = bytes((content[position + 2] & 0x3C, content[position + 2] & 1, content[position + 3] & 0xC0))
            rate = head[0] >> 2
            rate_hz = _AAC_RATES_HZ[rate] if rate < len(_AAC_RATES_HZ) else 0
            first = first or head
            actual_s = num_samples / (rate_hz or 1)
            if head != first:
                return (
                    f"changes its sample rate or channels after {actual_s:.1f} s: it consists of several concatenated "
                    "recordings; split it"
                )
            size = int.from_bytes(content[position + 3 : position + 6], "big") >> 5 & 0x1FFF
            if size < 7:
                break
            if position + size > len(content):
                return cut_inside("frame", actual_s)
            num_samples += 1024 * ((content[position + 6] & 3) + 1)
            position += size
        else:
            if first and len(content) > position:
                return cut_inside("frame", actual_s)
    return ""
