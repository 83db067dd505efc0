"""MP3 files frame by frame: their true length, and where to start decoding for a given sample.

Sources: the Xing and LAME header, Fraunhofer's VBRI.
libsndfile trusts a Xing header and guesses without one: of several concatenated MP3s it reads the first.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from eartune.audio.byte_view import Patch
from eartune.audio.chunks import cut_inside
from eartune.audio.mpeg_frames import Frame, FrameKind, end_of_tag, read_frame, resynchronise

# Samples that mpg123, inside libsndfile, drops at the beginning for the delay of the decoder itself.
DECODER_DELAY = 529
# A frame may use bytes of those before it, at most 511, and overlaps with the last: of the frames decoded before the
# wanted one, the first fill the bit reservoir, and the output of the others is dropped.
SILENT_FRAMES, PREROLL_FRAMES = 36, 40
# Editors leave a number of frames that is off by one or two.
TOLERATED_FRAMES = 2


_OTHER_FILES = (b"RIFF", b"fLaC", b"OggS", b"FORM")


@dataclass
class Part:
    """Consecutive frames, with the header frame that describes them, if there is one.

    `gapless` are the samples that an encoder added at the beginning and at the end, by its LAME header. A part
    `is_alone` if there are no others and its header is correct.
    """

    kind: FrameKind
    begin: int
    has_header_frame: bool = False
    header: bytes = b""
    declared_frames: int | None = None
    declared_bytes: int | None = None
    gapless: tuple[int, int] | None = None
    end: int = 0
    is_alone: bool = False
    frames: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def lead(self) -> int:
        """Samples that are dropped from the first frames: none without a header frame."""
        if self.gapless is not None:
            return self.gapless[0] + DECODER_DELAY
        return DECODER_DELAY if self.has_header_frame else 0

    @property
    def num_samples(self) -> int:
        total = len(self.frames) * self.kind.frame_samples
        padding = max(0, self.gapless[1] - DECODER_DELAY) if self.gapless is not None else 0
        return max(0, total - padding - self.lead)

    def patches(self) -> list[Patch]:
        """Return the corrections of the header frame, which is at `begin`."""
        at = read_frame(self.header, 0).xing_at  # type: ignore[union-attr]  # it is a frame
        flags = int.from_bytes(self.header[at + 4 : at + 8], "big")
        patches = [(self.begin + at + 8, struct.pack(">I", len(self.frames)))]
        if flags & 2:
            patches.append((self.begin + at + 12, struct.pack(">I", self.end - self.begin)))
        return patches

    def view_from(self, first: int, words: Sequence[bytes]) -> tuple[bytes, list[Patch], int]:
        """Return a prefix with which mpg123 decodes from frame `first`, patches of the frames after it, and the number
        of the first decoded sample, counted over all frames.

        The prefix is a header frame with the number of frames. `words` are the first 8 bytes of the frames; those that
        may need bytes from before the first are silenced, but keep the bytes that later ones use. At frame 0 the prefix
        also has a silent frame, for the samples that mpg123 drops.
        """
        # without a checksum, and with a bit rate that leaves enough bytes
        word = bytes((words[0][0], words[0][1] | 1, words[0][2] & 0x0D | 0x90, words[0][3]))
        frame = read_frame(word, 0)
        assert frame is not None
        added = 1 if first == 0 else 0
        header = word + bytes(frame.xing_at - 4) + b"Info" + struct.pack(">II", 1, len(self.frames) - first + added)
        prefix = header.ljust(frame.num_bytes, b"\0") + added * (word + bytes(frame.num_bytes - 4))
        patches, max_reservoir = [], 511 if self.kind.frame_samples == 1152 else 255
        reservoir = 0
        for place, start in zip(self.frames[first:], words, strict=False):
            head_bytes, silent = 4 if start[1] & 1 else 6, bytearray(frame.xing_at - 4)
            side_info = int.from_bytes(start[head_bytes : head_bytes + 2], "big")
            if first == 0 and (side_info >> 7 if max_reservoir == 511 else side_info >> 8) <= reservoir:
                break
            # mpg123 keeps only the bytes of the reservoir that a frame refers to
            silent[:2] = (reservoir << 7).to_bytes(2, "big") if max_reservoir == 511 else (reservoir, 0)
            patches.append((place + head_bytes, bytes(silent)))
            num_bytes = read_frame(start, 0).num_bytes  # type: ignore[union-attr]  # it is a frame
            reservoir = min(max_reservoir, reservoir + num_bytes - head_bytes - len(silent))
        return prefix, patches, (first - added) * self.kind.frame_samples + DECODER_DELAY


@dataclass
class Mpeg:
    """The parts of an MP3 file, and its fault or ''."""

    parts: list[Part]
    fault: str

    @property
    def num_samples(self) -> int:
        return sum(part.num_samples for part in self.parts)


def read_mp3(path: Path) -> Mpeg | None:
    """Read the frames of a file; None if it does not begin with MPEG audio of layer II or III."""
    stat = path.stat()
    return _read_mp3(path, stat.st_size, stat.st_mtime_ns)


# utterances of one long recording are read one after the other
@lru_cache(maxsize=4)
def _read_mp3(path: Path, size: int, _changed: int) -> Mpeg | None:
    if not size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = _first_frame(content)
        return None if begin is None else _walk(content, begin)


def _walk(content: mmap.mmap, position: int) -> Mpeg:
    size, known = len(content), dict[bytes, Frame | None]()
    headers = set(_header_places(content))
    parts: list[Part] = []
    fault, last_whole, num_left = "", position, 0
    part: Part | None = None
    while position + 4 <= size:
        word = content[position : position + 4]
        if word not in known:
            known[word] = read_frame(word, 0)
        frame = known[word]
        if frame is None:
            after = end_of_tag(content, position)
            if after is None and last_whole < position and content[position : position + 4] in _OTHER_FILES:
                fault = "consists of several concatenated recordings, in different formats; split it"
                break
            if after is None:
                # a truncated frame may include the beginning of the next one
                after = resynchronise(content, max(last_whole + 4, 4), position, part.kind if part else None)
                if after < 0:
                    break
                if after < position and part is not None:
                    if part.frames and part.frames[-1] == last_whole:
                        part.frames.pop()
                    part.end = after
            position = last_whole = after
            continue
        if part is not None and frame.kind != part.kind:
            follows = read_frame(content, position + frame.num_bytes)
            if follows is None or follows.kind != frame.kind:
                position += 1
                continue
            before_s = sum(p.num_samples for p in parts) / parts[0].kind.sample_rate_hz
            fault = (
                f"changes from {part.kind} to {frame.kind} after {before_s:.1f} s: it consists of several "
                "concatenated recordings; split it"
            )
            break
        if position + frame.num_bytes > size:
            num_left = size - position
            break
        is_header = position + frame.xing_at in headers or position + 36 in headers
        if part is None or is_header:
            part = Part(frame.kind, position)
            parts.append(part)
            if is_header:
                _read_header(part, content[position : position + frame.num_bytes], frame.xing_at)
        if not is_header:
            part.frames.append(position)
        last_whole = position
        position += frame.num_bytes
        part.end = position
    if len(parts) == 1:
        parts[0].is_alone = parts[0].declared_frames == len(parts[0].frames)
    return Mpeg(parts, fault or _fault(parts, num_left, size))


def _fault(parts: list[Part], num_left: int, size: int) -> str:
    actual_s = sum(part.num_samples / part.kind.sample_rate_hz for part in parts)
    for part in parts:
        frames, declared = len(part.frames), part.declared_frames
        if declared is not None and declared > frames + TOLERATED_FRAMES:
            declared_s = declared * part.kind.frame_samples / part.kind.sample_rate_hz
            lengths = f"({frames * part.kind.frame_samples / part.kind.sample_rate_hz:.1f} s of {declared_s:.1f} s)"
            if len(parts) > 1 and part is not parts[-1]:
                return f"consists of several concatenated recordings, of which one is cut short {lengths}; split it"
            if part.declared_bytes:
                sizes = f"{part.declared_bytes} bytes of audio, but the file has {size - part.begin}"
            else:
                sizes = f"{declared} frames, but the file has {frames}"
            return f"is cut short: the header declares {sizes} {lengths}; get the file again"
    declared = parts[-1].declared_frames if parts else None
    is_complete = declared is not None and 0 <= len(parts[-1].frames) - declared <= TOLERATED_FRAMES
    return cut_inside("frame", actual_s) if num_left and not is_complete else ""


def _read_header(part: Part, header: bytes, xing_at: int) -> None:
    part.has_header_frame = True
    if header[xing_at : xing_at + 4] not in (b"Xing", b"Info"):
        # mpg123 does not read VBRI: view_from writes a header of its own
        part.declared_bytes, part.declared_frames = struct.unpack(">II", header[46:54])
        return
    part.header = header
    flags = int.from_bytes(header[xing_at + 4 : xing_at + 8], "big")
    at = xing_at + 8
    if flags & 1:
        part.declared_frames = int.from_bytes(header[at : at + 4], "big")
        at += 4
    if flags & 2:
        part.declared_bytes = int.from_bytes(header[at : at + 4], "big")
        at += 4
    at += 100 * bool(flags & 4) + 4 * bool(flags & 8)
    if len(header) >= at + 24 and header[at]:
        gaps = int.from_bytes(header[at + 21 : at + 24], "big")
        part.gapless = gaps >> 12, gaps & 0xFFF
    if not flags & 1:
        # the header has no field for the number of frames
        part.header = b""


def _header_places(content: mmap.mmap) -> Iterator[int]:
    for name in (b"Xing", b"Info", b"VBRI"):
        at = content.find(name)
        while at >= 0:
            yield at
            at = content.find(name, at + 4)


def _first_frame(content: mmap.mmap) -> int | None:
    begin = 0
    while (after := end_of_tag(content, begin)) is not None:
        begin = after
    for position in range(begin, min(begin + 16384, len(content) - 4)):
        if content[position] != 0xFF:
            continue
        frame = read_frame(content, position)
        if frame and (position == begin or read_frame(content, position + frame.num_bytes)):
            return position
    return None
