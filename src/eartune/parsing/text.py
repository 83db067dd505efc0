"""Files of text, and the bounds of what is parsed from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from stat import S_ISDIR, S_ISREG

from eartune.errors import InputError


@dataclass(frozen=True)
class Bounds:
    """What a document may hold at most. More is a file made to harm, or one of another kind."""

    num_bytes: int = 256 * 2**20
    depth: int = 64
    digits: int = 1000
    """Of one number: converting it takes time that grows with the square."""
    values: int = 300_000
    """Of a YAML document, an alias counted with all that it stands for."""


BOUNDS = Bounds()
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def read_text(path: Path, *, bounds: Bounds = BOUNDS, advice: str = "") -> str:
    """Read a file of UTF-8, with or without a byte order mark. Raises InputError where it cannot be read as that."""
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            # a pipe or a device has no end
            raise InputError(f"{path}: is {'a folder' if S_ISDIR(status.st_mode) else 'not a file'}{then(advice)}")
        if status.st_size > bounds.num_bytes:
            raise InputError(f"{path}: is larger than {bounds.num_bytes // 2**20} MB{then(advice)}")
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file{then(advice)}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}{then(advice)}") from None
    return decode_utf8(content, where=str(path))


def decode_utf8(content: bytes, *, where: str) -> str:
    """Decode UTF-8, with or without a byte order mark. Raises InputError, beginning with `where`, for anything else."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or (content[:2].count(0) == 1 and content[2:4].count(0) == 1):
        raise InputError(f"{where}:1: is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}:{line}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None


def refuse_lone_surrogates(value: object, *, where: str) -> None:
    """Raise InputError where a text or path in a value cannot be written as UTF-8."""
    for text in _texts(value):
        if not text.isascii() and _LONE_SURROGATE.search(text):
            raise InputError(f"{where}: {text!r:.80} holds half of a character (a lone surrogate); write it in UTF-8")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str | PurePath):
        yield str(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def then(advice: str) -> str:
    """Return advice as the end of a message."""
    return f"; {advice}" if advice else ""
