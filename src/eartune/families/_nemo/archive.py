"""NVIDIA's .nemo files, read safely without NeMo: a tar of configuration, weights and tokenizer.

Format: nemo/core/connectors/save_restore_connector.py. Older files are compressed; members are never extracted to disk.
A folder that such a file was unpacked into is read in the same way.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, cast

import torch

from eartune.base_model import NEMO_CONFIG, NEMO_WEIGHTS
from eartune.errors import InputError
from eartune.families._nemo.checkpoint import load_checkpoint
from eartune.families._nemo.settings import NemoSection, read_settings

CONFIG, WEIGHTS = NEMO_CONFIG, NEMO_WEIGHTS
# Limits against malicious files: at least ten times the largest value in the published models.
# 17 in canary-1b-flash, with its five tokenizers
MAX_MEMBERS = 1000
# 217 588 in nemotron-3.5-asr-streaming-0.6b
MAX_CONFIG_BYTES = 4 * 2**20
# 1.2 MB, a tokenizer of parakeet-tdt-0.6b-v3
MAX_FILE_BYTES = 32 * 2**20
# 1.1: weights shrink by a tenth
MAX_EXPANSION = 20
_CHUNK_BYTES = 2**20
_ADVICE = "download or save the model again"

_Opener = Callable[[IO[bytes]], IO[bytes]]
_COMPRESSIONS: dict[bytes, _Opener] = {
    b"\x1f\x8b": cast(_Opener, gzip.open),
    b"BZh": cast(_Opener, bz2.open),
    b"\xfd7zXZ\x00": cast(_Opener, lzma.open),
}


@dataclass(frozen=True, eq=False)
class NemoArchive:
    """An open .nemo file, or a folder with its contents; `members` are its regular files in order, by name."""

    path: Path
    config: dict[str, Any]
    members: Mapping[str, tarfile.TarInfo]
    _tar: IO[bytes] | None

    def file(self, reference: str) -> bytes:
        """Return a file such as the tokenizer, by its name or as the configuration writes it (`nemo:NAME`)."""
        name = _plain(reference.removeprefix("nemo:"))
        if name not in self.members:
            raise InputError(
                f"{self.path}: has no file {name!r} (it has {', '.join(list(self.members)[:8])}); {_ADVICE}"
            )
        _require_small(self.path, self.members[name], MAX_FILE_BYTES)
        with self.open_member(name) as file:
            return file.read()

    def section(self, name: str) -> NemoSection:
        """Return a section of the configuration, such as `encoder` or `decoder.prednet`."""
        return NemoSection(self.config, name, where=f"{self.path}: {CONFIG}")

    def weights(self) -> dict[str, torch.Tensor]:
        """Read all weights into memory, on the CPU, in the precision they have in the file."""
        return self._load_weights("cpu")

    def weight_shapes(self) -> dict[str, torch.Tensor]:
        """Return all weights on the device `meta`: names, shapes and precision, without values."""
        return self._load_weights("meta")

    def _load_weights(self, device: str) -> dict[str, torch.Tensor]:
        with self.open_member(WEIGHTS) as file:
            size = self.members[WEIGHTS].size
            return load_checkpoint(file, where=f"{self.path}: {WEIGHTS}", size=size, device=device)

    @contextmanager
    def open_member(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a member as a seekable file; only one can be open at a time."""
        with _explained(self.path), _opened(self.path, self._tar, self.members[name]) as file:
            yield file


def is_unpacked(folder: Path) -> bool:
    """Return whether a folder is an unpacked .nemo file."""
    return (folder / CONFIG).is_file()


def read_archive(path: str | Path) -> NemoArchive:
    """Open a .nemo file, or the folder that one was unpacked into, and read its configuration.

    A file is closed when the archive is garbage-collected. A compressed one is unpacked into an unnamed temporary file,
    as large as the model.
    Raises InputError unless it is a complete archive with configuration and weights, and for malicious files.
    """
    path = Path(path)
    with _explained(path):
        tar_file = None if is_unpacked(path) else _uncompressed(path)
        try:
            members = _list_files(path) if tar_file is None else _list_members(path, tar_file)
            for name in (CONFIG, WEIGHTS):
                if name not in members:
                    raise InputError(_incomplete(path, name, list(members)))
            _require_small(path, members[CONFIG], MAX_CONFIG_BYTES)
            with _opened(path, tar_file, members[CONFIG]) as file:
                config = read_settings(file.read(), where=f"{path}: {CONFIG}")
            archive = NemoArchive(path, config, members, tar_file)
        except BaseException:
            if tar_file is not None:
                tar_file.close()
            raise
    if tar_file is not None:
        weakref.finalize(archive, tar_file.close)
    return archive


def _incomplete(path: Path, missing: str, found: list[str]) -> str:
    inner = next((name for name in found if name.endswith(".nemo")), None)
    if inner is not None:
        return f"{path}: is not a .nemo model but a tar that contains one: unpack it, and give {inner}"
    problem = f"{path}: is not a .nemo model: it has no {missing} (found: {', '.join(found[:8]) or 'nothing'}); "
    if path.is_dir():
        return problem + f"give the .nemo file that NeMo saved, or all files of it: tar xf MODEL.nemo -C {path}"
    return problem + "give the file that NeMo saved"


@contextmanager
def _opened(path: Path, tar_file: IO[bytes] | None, member: tarfile.TarInfo) -> Iterator[IO[bytes]]:
    if tar_file is None:
        with (path / member.name).open("rb") as file:
            yield file
        return
    with tarfile.open(fileobj=_rewound(tar_file), mode="r:") as tar:
        extracted = tar.extractfile(member)
        assert extracted is not None, "members are regular files"
        with extracted:
            yield extracted


def _uncompressed(path: Path) -> IO[bytes]:
    file = path.open("rb")
    start = file.read(6)
    opener = next((opener for magic, opener in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if opener is None:
        return _rewound(file)
    limit = MAX_EXPANSION * path.stat().st_size + MAX_FILE_BYTES
    unpacked = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115  open as long as the archive
    try:
        with file, opener(_rewound(file)) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                unpacked.write(chunk)
                if unpacked.tell() > limit:
                    raise InputError(
                        f"{path}: unpacks to more than {MAX_EXPANSION} times its size, unlike any weights; {_ADVICE}"
                    )
        return _rewound(unpacked)
    except BaseException:
        unpacked.close()
        raise


def _list_members(path: Path, tar_file: IO[bytes]) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(fileobj=_rewound(tar_file), mode="r:") as tar:
        for number, member in enumerate(tar):
            if number >= MAX_MEMBERS:
                raise InputError(f"{path}: has more than {MAX_MEMBERS} members; a .nemo has a few; {_ADVICE}")
            if member.isdir():
                continue
            name = _plain(member.name)
            if not member.isreg() or member.issparse():
                raise InputError(f"{path}: {name!r} is a link, a device or a sparse file, not a regular one; {_ADVICE}")
            windows = PureWindowsPath(name)
            if windows.anchor or ".." in windows.parts or PurePosixPath(name).is_absolute():
                raise InputError(f"{path}: {name!r} leads out of the archive; do not use this file, {_ADVICE}")
            if name in found:
                raise InputError(f"{path}: holds {name!r} twice; {_ADVICE}")
            found[name] = member
    end_of_file = tar_file.seek(0, 2)
    for name, member in found.items():
        if member.offset_data + member.size > end_of_file:
            raise InputError(f"{path}: ends within {name!r}, so it is incomplete; {_ADVICE}")
    return _at_the_top(found)


def _at_the_top(members: dict[str, tarfile.TarInfo]) -> dict[str, tarfile.TarInfo]:
    """Strip the top folder from the member names of an archive that was packed with it."""
    folder, _, name = next((found.rpartition("/") for found in members if found.endswith(f"/{CONFIG}")), ("", "", ""))
    if not name or not all(found.startswith(f"{folder}/") for found in members):
        return members
    inner = {found.removeprefix(f"{folder}/"): member for found, member in members.items()}
    for found, member in inner.items():
        # NeMo expects them at the top level, so they are written there
        member.name = found
    return inner


def _list_files(folder: Path) -> dict[str, tarfile.TarInfo]:
    """Return as members the files of an unpacked .nemo file that NeMo would pack."""
    members: dict[str, tarfile.TarInfo] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith(".") and file.suffix != ".nemo":
            members[file.name] = tarfile.TarInfo(file.name)
            members[file.name].size = file.stat().st_size
            members[file.name].mtime = int(file.stat().st_mtime)
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{folder}: has more than {MAX_MEMBERS} files; a .nemo has a few; {_ADVICE}")
    return members


def _require_small(path: Path, member: tarfile.TarInfo, limit: int) -> None:
    if member.size > limit:
        raise InputError(
            f"{path}: {_plain(member.name)!r} has {member.size} bytes, more than the {limit} allowed for such a file;"
            f" {_ADVICE}"
        )


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _rewound(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: is not a .nemo file, or an incomplete one ({reason[:100]}); {_ADVICE}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; check the path and the disk") from None
