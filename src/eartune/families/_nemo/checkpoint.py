"""Safe loading of untrusted PyTorch checkpoints: named tensors only."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import IO

import torch

from eartune.errors import InputError, first_line

_ADVICE = "download or save the model again"


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
        raise InputError(f"{where}: cannot be read safely ({reason[:120]}); {_ADVICE}") from None
    if not isinstance(loaded, Mapping) or not loaded:
        raise InputError(f"{where}: holds {type(loaded).__name__!r}, not named weights; {_ADVICE}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(f"{where}: {name!r:.80} is a {type(value).__name__}, not a tensor; {_ADVICE}")
        dense = value.layout == torch.strided and not value.is_quantized and value.device.type == device
        # an expanded view would take more memory when copied
        if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(f"{where}: {name!r:.80} is not a plain dense tensor; {_ADVICE}")
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
        raise InputError(f"{where}: claims more data than it has bytes; {_ADVICE}")
