"""Members of .nemo files, listed and read within limits: a tar, maybe compressed, or the folder it was unpacked into.

Members are never extracted to disk.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, cast

from eartune.base_model import NEMO_CONFIG
from eartune.errors import InputError

# Limits against malicious files: at least ten times the largest value in the published models.
# 17 in canary-1b-flash, with its five tokenizers
MAX_MEMBERS = 1000
# 1.2 MB, a tokenizer of parakeet-tdt-0.6b-v3
MAX_FILE_BYTES = 32 * 2**20
# 1.1: weights shrink by a tenth
MAX_EXPANSION = 20
ADVICE = "download or save the model again"
_CHUNK_BYTES = 2**20

_Opener = Callable[[IO[bytes]], IO[bytes]]
_COMPRESSIONS: dict[bytes, _Opener] = {
    b"\x1f\x8b": cast(_Opener, gzip.open),
    b"BZh": cast(_Opener, bz2.open),
    b"\xfd7zXZ\x00": cast(_Opener, lzma.open),
}


def uncompressed(path: Path, packed: IO[bytes]) -> IO[bytes] | None:
    """Unpack a file into an unnamed temporary one, as large as the model; None if it is not compressed."""
    start = packed.read(6)
    opener = next((opener for magic, opener in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if opener is None:
        return None
    packed.seek(0)
    limit = MAX_EXPANSION * path.stat().st_size + MAX_FILE_BYTES
    unpacked = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115  open as long as the archive
    try:
        with opener(packed) as file:
            while chunk := file.read(_CHUNK_BYTES):
                unpacked.write(chunk)
                if unpacked.tell() > limit:
                    raise InputError(
                        f"{path}: unpacks to more than {MAX_EXPANSION} times its size, unlike any weights; {ADVICE}"
                    )
    except BaseException:
        unpacked.close()
        raise
    return unpacked


def list_members(path: Path, tar_file: IO[bytes]) -> dict[str, tarfile.TarInfo]:
    """Return the regular files of a tar, in order, by name."""
    found: dict[str, tarfile.TarInfo] = {}
    tar_file.seek(0)
    with tarfile.open(fileobj=tar_file, mode="r:") as tar:
        for number, member in enumerate(tar):
            if number >= MAX_MEMBERS:
                raise InputError(f"{path}: has more than {MAX_MEMBERS} members; a .nemo has a few; {ADVICE}")
            if member.isdir():
                continue
            name = plain(member.name)
            if not member.isreg() or member.issparse():
                raise InputError(f"{path}: {name!r} is a link, a device or a sparse file, not a regular one; {ADVICE}")
            windows = PureWindowsPath(name)
            if windows.anchor or ".." in windows.parts or PurePosixPath(name).is_absolute():
                raise InputError(f"{path}: {name!r} leads out of the archive; do not use this file, {ADVICE}")
            if name in found:
                raise InputError(f"{path}: holds {name!r} twice; {ADVICE}")
            found[name] = member
    end_of_file = tar_file.seek(0, io.SEEK_END)
    for name, member in found.items():
        if member.offset_data + member.size > end_of_file:
            raise InputError(f"{path}: ends within {name!r}, so it is incomplete; {ADVICE}")
    return _at_the_top(found)


def _at_the_top(members: dict[str, tarfile.TarInfo]) -> dict[str, tarfile.TarInfo]:
    """Strip the top folder from the member names of an archive that was packed with it."""
    paths = (found.rpartition("/") for found in members if found.endswith(f"/{NEMO_CONFIG}"))
    folder, _, name = next(paths, ("", "", ""))
    if not name or not all(found.startswith(f"{folder}/") for found in members):
        return members
    inner = {found.removeprefix(f"{folder}/"): member for found, member in members.items()}
    for found, member in inner.items():
        # NeMo expects them at the top level, so they are written there
        member.name = found
    return inner


def files_in(folder: Path) -> list[Path]:
    """List the files of an unpacked .nemo file that NeMo would pack."""
    files = sorted(folder.iterdir())
    return [file for file in files if file.is_file() and not file.name.startswith(".") and file.suffix != ".nemo"]


def list_files(folder: Path) -> dict[str, tarfile.TarInfo]:
    """Return the files of an unpacked .nemo file as members."""
    members: dict[str, tarfile.TarInfo] = {}
    for file in files_in(folder):
        members[file.name] = tarfile.TarInfo(file.name)
        members[file.name].size = file.stat().st_size
        members[file.name].mtime = int(file.stat().st_mtime)
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{folder}: has more than {MAX_MEMBERS} files; a .nemo has a few; {ADVICE}")
    return members


@contextmanager
def opened_member(path: Path, member: tarfile.TarInfo, *, unpacked: IO[bytes] | None) -> Iterator[IO[bytes]]:
    """Yield a member of a tar, of its `unpacked` copy, or of a folder as a seekable file."""
    if path.is_dir():
        with (path / member.name).open("rb") as file:
            yield file
    elif unpacked is not None:
        yield io.BufferedReader(_Slice(unpacked, member.offset_data, member.size))
    else:
        with path.open("rb") as tar:
            yield io.BufferedReader(_Slice(tar, member.offset_data, member.size))


class _Slice(io.RawIOBase):
    """`size` bytes of a file, from `start` on."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._position)
        content = self._file.read(max(0, min(len(buffer), self._size - self._position)))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


def require_small(path: Path, member: tarfile.TarInfo, limit: int) -> None:
    """Raise InputError for a member of more than `limit` bytes."""
    if member.size > limit:
        raise InputError(
            f"{path}: {plain(member.name)!r} has {member.size} bytes, more than the {limit} allowed for such a file;"
            f" {ADVICE}"
        )


def plain(name: str) -> str:
    """Return a member's name without the `./` that NeMo writes before it."""
    return name.removeprefix("./")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise InputError for what the system and the libraries of tars raise within the block."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: is not a .nemo file, or an incomplete one ({reason[:100]}); {ADVICE}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; check the path and the disk") from None
