"""Frames of MPEG audio, layers II and III: their headers, the tags between them, and the next frame after damage.

Sources: ISO 11172-3 and 13818-3.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

_BITRATES = {
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by (MPEG 1, layer)"""
_SAMPLE_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class FrameKind(NamedTuple):
    """The properties that all frames of a recording share."""

    layer: int
    sample_rate_hz: int
    channels: int
    frame_samples: int

    def __str__(self) -> str:
        return f"layer {self.layer}, {self.sample_rate_hz} Hz, {'mono' if self.channels == 1 else 'stereo'}"


class Frame(NamedTuple):
    """A frame: its size with its header, and the offset of a Xing header within it."""

    kind: FrameKind
    num_bytes: int
    xing_at: int


def read_frame(content: bytes | mmap.mmap, at: int) -> Frame | None:
    """Read the header of a frame; None if there is none at this position."""
    header = int.from_bytes(content[at : at + 4], "big")
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    bitrate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer not in (2, 3) or bitrate in (0, 15) or rate == 3:
        return None
    is_mpeg1, is_mono = version == 3, header >> 6 & 3 == 3
    rate_hz = _SAMPLE_RATES_HZ[version][rate]
    frame_samples = 1152 if is_mpeg1 or layer == 2 else 576
    num_bytes = frame_samples // 8 * _BITRATES[is_mpeg1, layer][bitrate] * 1000 // rate_hz + padding
    side_bytes = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[is_mpeg1, is_mono]
    return Frame(FrameKind(layer, rate_hz, 1 if is_mono else 2, frame_samples), num_bytes, 4 + side_bytes)


def end_of_tag(content: mmap.mmap, position: int) -> int | None:
    """Return the end of the tag that begins at `position`; None if there is no tag."""
    head = content[position : position + 16]
    if head[:3] == b"ID3" and len(head) >= 10:
        return position + 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    if head[:3] == b"TAG":
        return position + 128
    if head[:8] == b"APETAGEX" and len(head) == 16:
        return position + 32 + int.from_bytes(head[12:16], "little")
    return None


def resynchronise(content: mmap.mmap, position: int, latest: int, kind: FrameKind | None) -> int:
    """Return the next position of two consecutive frames or of a tag, or -1; tags count only up to `latest`."""
    tag = content.find(b"ID3", position, latest)
    while (position := content.find(b"\xff", position)) >= 0:
        if 0 <= tag < position:
            return tag
        frame = read_frame(content, position)
        if frame and (kind is None or frame.kind == kind):
            follows = read_frame(content, position + frame.num_bytes)
            if follows and follows.kind == frame.kind:
                return position
        position += 1
    return tag
