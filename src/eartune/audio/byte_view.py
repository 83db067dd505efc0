"""Views of a file with bytes replaced, cut off or prepended, for libsndfile to read where a header is wrong."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

Patch = tuple[int, bytes]
"""(position in the file, the bytes to read there instead)"""

# libsndfile reads a few bytes at a time
_BUFFER_BYTES = 1 << 16


def open_view(
    path: Path, *, begin: int = 0, end: int | None = None, prefix: bytes = b"", patches: Sequence[Patch] = ()
) -> io.BufferedReader:
    """Open `prefix`, then the bytes of a file from `begin` to `end`, with `patches` in place."""
    return io.BufferedReader(_ByteView(path, begin, end, prefix, patches), _BUFFER_BYTES)


class _ByteView(io.RawIOBase):
    def __init__(self, path: Path, begin: int, end: int | None, prefix: bytes, patches: Sequence[Patch]) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._begin = begin
        self._prefix = prefix
        self._patches = patches
        last = os.fstat(self._file.fileno()).st_size if end is None else end
        self._size = len(prefix) + max(0, last - begin)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # whatever has the buffer protocol
        content = self._content(self._at, min(self._size, self._at + len(target)))
        target[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _content(self, first: int, last: int) -> bytes:
        if first >= last:
            return b""
        from_prefix = self._prefix[first:last]
        shift = self._begin - len(self._prefix)
        position = max(first + shift, self._begin)
        self._file.seek(position)
        content = bytearray(self._file.read(last - first - len(from_prefix)))
        for at, replacement in self._patches:
            for number, byte in enumerate(replacement, start=at - position):
                if 0 <= number < len(content):
                    content[number] = byte
        return from_prefix + bytes(content)
