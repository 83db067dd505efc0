"""Copies of .nemo files with new weights and some files replaced; all other members stay the same, byte for byte.

NeMo's own save_to drops members that it does not know, such as the timestamps model inside canary-1b-v2.
"""

from __future__ import annotations

import copy
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO

import torch

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, WEIGHTS, NemoArchive, read_archive
from eartune.files import new_file

_CHUNK_BYTES = 2**20
NO_ROWS: Mapping[str, int] = MappingProxyType({})
NOTHING_REPLACED: Mapping[str, bytes] = MappingProxyType({})


def write_archive(
    original: NemoArchive,
    out: str | Path,
    weights: Mapping[str, torch.Tensor],
    *,
    replaced: Mapping[str, bytes] = NOTHING_REPLACED,
    more_rows: Mapping[str, int] = NO_ROWS,
) -> None:
    """Write an uncompressed copy of `original` to `out` with `weights` in place of its own, and read it back.

    The new weights must have the names, shapes and precisions of the original ones, except for the
    additional rows in `more_rows`; `replaced` is new content for other members. While writing, a second copy of the
    weights is on disk beside `out`. Raises InputError, and leaves no file, where anything does not match.
    """
    out = Path(out)
    assert replaced.keys() <= original.members.keys() - {WEIGHTS}, "only existing members are replaced"
    _require_alike(original, weights, more_rows)
    with new_file(out) as aside, tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        checkpoint = Path(folder) / WEIGHTS
        # a tensor with two names, such as a tied head and embedding, is written once
        whole = {id(value): _whole(value) for value in weights.values()}
        torch.save({name: whole[id(value)] for name, value in weights.items()}, checkpoint)
        del whole
        _require_equal(checkpoint, weights)
        _swap(original, aside, checkpoint, replaced)
        _require_same_bytes(original, aside, checkpoint, replaced)


def grown(shape: torch.Size, more_rows: int) -> torch.Size:
    """Return the shape of a weight with additional rows."""
    return torch.Size((shape[0] + more_rows, *shape[1:])) if more_rows else shape


def _require_alike(original: NemoArchive, weights: Mapping[str, torch.Tensor], more_rows: Mapping[str, int]) -> None:
    expected = {
        name: (grown(value.shape, more_rows.get(name, 0)), value.dtype)
        for name, value in original.weight_shapes().items()
    }
    missing, extra = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    for what, names in {"lack": missing, "have more than the archive:": extra}.items():
        if names:
            raise InputError(
                f"{original.path}: the new weights {what} {names[0]!r} ({len(names)} in all); it came from"
                " another model"
            )
    for name, value in weights.items():
        if (value.shape, value.dtype) != expected[name]:
            shape, dtype = expected[name]
            raise InputError(
                f"{original.path}: {name!r} is {tuple(value.shape)} in {value.dtype}, and {tuple(shape)} in {dtype} in "
                f"the archive; the weights came from another model"
            )


def _whole(value: torch.Tensor) -> torch.Tensor:
    """Return a contiguous CPU tensor without unused storage, which torch.save would write too."""
    value = value.detach().cpu().contiguous()
    return value.clone() if value.untyped_storage().nbytes() > value.numel() * value.element_size() else value


def _require_equal(checkpoint: Path, weights: Mapping[str, torch.Tensor]) -> None:
    written = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    # NaN is not equal to itself, so it is reported here too
    different = [name for name, value in weights.items() if not torch.equal(written[name], value.detach().cpu())]
    if different:
        raise InputError(f"{different[0]!r} was not written correctly, or contains NaN; do not use this model")


def _swap(original: NemoArchive, out: Path, checkpoint: Path, replaced: Mapping[str, bytes]) -> None:
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, member in original.members.items():
            info = copy.copy(member)
            # otherwise long names and dates in extended headers would be written twice
            info.pax_headers = {}
            if name == WEIGHTS:
                info.size = checkpoint.stat().st_size
                with checkpoint.open("rb") as file:
                    tar.addfile(info, file)
            elif name in replaced:
                info.size = len(replaced[name])
                tar.addfile(info, io.BytesIO(replaced[name]))
            else:
                with original.open_member(name) as file:
                    tar.addfile(info, file)


def _require_same_bytes(original: NemoArchive, out: Path, checkpoint: Path, replaced: Mapping[str, bytes]) -> None:
    written = read_archive(out)
    assert list(written.members) == list(original.members), "members in another order"
    for name in original.members:
        with written.open_member(name) as file:
            found = _digest(file)
        if name == WEIGHTS:
            with checkpoint.open("rb") as file:
                expected = _digest(file)
        elif name in replaced:
            expected = _digest(io.BytesIO(replaced[name]))
        else:
            with original.open_member(name) as file:
                expected = _digest(file)
        if found != expected:
            raise InputError(f"{out}: {name!r} differs when read back; check the disk")
    assert CONFIG in replaced or written.config == original.config, f"{CONFIG} has the same bytes"


def _digest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()
