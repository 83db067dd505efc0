"""NVIDIA's .nemo files, read safely without NeMo: configuration, weights and tokenizer.

Format: nemo/core/connectors/save_restore_connector.py, a tar, in older files compressed. A folder that such a file was
unpacked into is read in the same way.
"""

from __future__ import annotations

import tarfile
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeAlias

import torch

from eartune.base_model import NEMO_CONFIG, NEMO_WEIGHTS
from eartune.errors import InputError, first_line
from eartune.families._nemo.archive_members import (
    ADVICE,
    MAX_FILE_BYTES,
    explained,
    files_in,
    list_files,
    list_members,
    opened_member,
    plain,
    require_small,
    uncompressed,
)
from eartune.families._nemo.settings import NemoSection, read_settings

CONFIG, WEIGHTS = NEMO_CONFIG, NEMO_WEIGHTS
# against malicious files; the largest of the published models has 217 588 (nemotron-3.5-asr-streaming-0.6b)
MAX_CONFIG_BYTES = 4 * 2**20
# files of which what was read is kept: a model, and the one that is written from it
NUM_KEPT = 2
# of each file: name, device, inode, size, time of change
_State: TypeAlias = tuple[tuple[str | int, ...], ...]


@dataclass(frozen=True, eq=False)
class _Contents:
    """What was read of a file or folder in one of its states; `config` is not to be changed."""

    state: _State
    config: dict[str, Any]
    members: Mapping[str, tarfile.TarInfo]
    unpacked: IO[bytes] | None
    """the tar of a compressed file"""


@dataclass(frozen=True)
class NemoArchive:
    """A .nemo file, or a folder with its contents; equal to another if both are the same unchanged file."""

    path: Path
    _contents: _Contents = field(repr=False)

    @property
    def config(self) -> Mapping[str, Any]:
        """model_config.yaml."""
        return self._contents.config

    @property
    def members(self) -> Mapping[str, tarfile.TarInfo]:
        """Its regular files in order, by name."""
        return self._contents.members

    def file(self, reference: str) -> bytes:
        """Return a file such as the tokenizer, by its name or as the configuration writes it (`nemo:NAME`)."""
        name = plain(reference.removeprefix("nemo:"))
        if name not in self.members:
            raise InputError(
                f"{self.path}: has no file {name!r} (it has {', '.join(list(self.members)[:8])}); {ADVICE}"
            )
        require_small(self.path, self.members[name], MAX_FILE_BYTES)
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
        """Yield a member as a seekable file. Raises InputError where the file has changed since it was read."""
        contents, member = self._contents, self.members[name]
        with explained(self.path):
            if _state(self.path) != contents.state:
                raise InputError(f"{self.path}: has changed since it was opened; repeat the command")
            with opened_member(self.path, member, unpacked=contents.unpacked) as file:
                yield file


def is_unpacked(folder: Path) -> bool:
    """Return whether a folder is an unpacked .nemo file."""
    return (folder / CONFIG).is_file()


def read_archive(path: str | Path) -> NemoArchive:
    """Open a .nemo file, or the folder that one was unpacked into, and read its configuration.

    A command asks for the same file several times: which kind it is, to load it, to write a copy of it. So what was
    read of the last two files is kept, and a file in the same state (device, inode, size and time of change) is not
    read again, under whichever path. No file is kept open, but for the unpacked copy of a compressed one.
    Raises InputError unless it is a complete archive with configuration and weights, and for malicious files.
    """
    path = Path(path)
    with explained(path):
        return NemoArchive(path, _read(_Source(path, _state(path))))


@dataclass(frozen=True)
class _Source:
    """A file or folder; equal to another if both are in the same state."""

    path: Path = field(compare=False)
    state: _State


def _state(path: Path) -> _State:
    """Return the state of a file, whatever its name, or of the files of a folder."""
    files = {file.name: file for file in files_in(path)} if is_unpacked(path) else {"": path}
    found = ((name, file.stat()) for name, file in files.items())
    return tuple((name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found)


@lru_cache(maxsize=NUM_KEPT)
def _read(source: _Source) -> _Contents:
    path = source.path
    if is_unpacked(path):
        members = list_files(path)
        return _Contents(source.state, _read_config(path, members, unpacked=None), members, None)
    with path.open("rb") as packed:
        unpacked = uncompressed(path, packed)
        try:
            members = list_members(path, unpacked or packed)
            contents = _Contents(source.state, _read_config(path, members, unpacked=unpacked), members, unpacked)
        except BaseException:
            if unpacked is not None:
                unpacked.close()
            raise
    if unpacked is not None:
        weakref.finalize(contents, unpacked.close)
    return contents


def _read_config(path: Path, members: Mapping[str, tarfile.TarInfo], *, unpacked: IO[bytes] | None) -> dict[str, Any]:
    for name in (CONFIG, WEIGHTS):
        if name not in members:
            raise InputError(_incomplete(path, name, list(members)))
    require_small(path, members[CONFIG], MAX_CONFIG_BYTES)
    with opened_member(path, members[CONFIG], unpacked=unpacked) as file:
        return read_settings(file.read(), where=f"{path}: {CONFIG}")


def _incomplete(path: Path, missing: str, found: list[str]) -> str:
    inner = next((name for name in found if name.endswith(".nemo")), None)
    if inner is not None:
        return f"{path}: is not a .nemo model but a tar that contains one: unpack it, and give {inner}"
    problem = f"{path}: is not a .nemo model: it has no {missing} (found: {', '.join(found[:8]) or 'nothing'}); "
    if path.is_dir():
        return problem + f"give the .nemo file that NeMo saved, or all files of it: tar xf MODEL.nemo -C {path}"
    return problem + "give the file that NeMo saved"


def load_checkpoint(file: IO[bytes], *, where: str, size: int, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Load tensors without executing code from the file, and without using more memory than its `size` in bytes.

    On the device `meta` they have shapes but no values. Raises InputError, beginning with `where`, for any other
    content.
    """
    _refuse_bombs(file, where, size)
    file.seek(0)
    try:
        loaded = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # the unpickler may raise anything on arbitrary bytes
        reason = first_line(error)
        raise InputError(f"{where}: cannot be read safely ({reason[:120]}); {ADVICE}") from None
    if not isinstance(loaded, Mapping) or not loaded:
        raise InputError(f"{where}: holds {type(loaded).__name__!r}, not named weights; {ADVICE}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(f"{where}: {name!r:.80} is a {type(value).__name__}, not a tensor; {ADVICE}")
        dense = value.layout == torch.strided and not value.is_quantized and value.device.type == device
        # an expanded view would take more memory when copied
        if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(f"{where}: {name!r:.80} is not a plain dense tensor; {ADVICE}")
    return dict(loaded)


def _refuse_bombs(file: IO[bytes], where: str, size: int) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError):
        raise InputError(
            f"{where}: is not a checkpoint of PyTorch 1.6 or newer, or is damaged; save the model with a current NeMo"
        ) from None
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > size:
        raise InputError(f"{where}: claims more data than it has bytes; {ADVICE}")
