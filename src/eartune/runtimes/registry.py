"""The runtime of a file or folder, chosen by its contents; programs are imported only when they are needed."""

from __future__ import annotations

import importlib
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from eartune.base_model import model_type
from eartune.errors import InputError
from eartune.family import Family, Format, families
from eartune.language_tokens import parse_stand_ins

if TYPE_CHECKING:
    # it imports torch, which recognising a file does not need
    from eartune.runtimes.runtime import Runtime, Task

GGML = struct.pack("<i", 0x67676D6C)
COMPRESSED_TAR = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
# a folder with exactly one such file is read as that file
SINGLE_FILES = ("*.bin", "*.pt", "*.nemo")
# names and shapes of a large model's tensors take a tenth of it
MAX_PICKLED_BYTES = 4 * 2**20


def recognise(path: Path) -> str | None:
    """Return the format of a file or folder, by its content; None if it is not one of them.

    Raises InputError if the path does not exist.
    """
    if not path.exists():
        raise InputError(f"{path}: does not exist; give the path of an export")
    found = _file_format(path) if path.is_file() else _folder_format(path)
    if found is None and path.is_dir() and (single := _single_file(path)):
        return _file_format(single)
    return found


def open_runtime(
    path: Path,
    *,
    device: str = "cpu",
    num_threads: int = 1,
    task: Task = "transcribe",
    family: str | None = None,
    language_token: str | None = None,
    read_nemo_config: Callable[[Path], Mapping[str, Any]] | None = None,
) -> Runtime:
    """Open an export in its runtime.

    `family`, if given, must be that of the model; `language_token` sets the languages whose tokens stand in for those
    without a token. A .nemo file needs `read_nemo_config`, which reads its configuration without NeMo.
    Raises InputError for a path that is not an export or cannot be opened.
    """
    found = recognise(path)
    if found is None:
        raise InputError(
            f"{path}: is not an export in a known format (ggml, CTranslate2, ONNX, OpenAI's .pt, .nemo, Hugging Face); "
            "give the path of an export"
        )
    if path.is_dir() and found in ("ggml", "openai", "nemo"):
        path = cast(Path, _single_file(path))
    candidates = _candidates(found, path)
    if not candidates:
        known = [name for each in families().values() for name in each.model_types]
        raise InputError(f"{path}: model_type is {_model_type(path)!r}; supported are only {', '.join(known)}")
    if family is not None and family not in [each.name for each in candidates]:
        titles = " or ".join(each.title for each in candidates)
        raise InputError(f"{path}: is a {titles} ({found}), not a {family}; give the {family}'s export")
    settings: dict[str, Any] = {"device": device, "num_threads": num_threads, "task": task}
    if found == "nemo":
        assert read_nemo_config is not None, "a .nemo file is read before NeMo opens it"
        settings["read_config"] = read_nemo_config
    module, _, name = candidates[0].formats[found].runtime.partition(":")
    runtime = getattr(importlib.import_module(module), name)(path, **settings)
    if language_token is not None:
        runtime.stand_ins = parse_stand_ins(language_token)
    return cast("Runtime", runtime)


def _candidates(found: str, path: Path) -> list[Family]:
    """List the families whose export in a format a path may be."""
    declared = [family for family in families().values() if found in family.formats]
    if found == "hf":
        model_type = _model_type(path)
        return [family for family in declared if model_type in family.model_types]
    marked = [family for family in declared if _has_marks(path, family.formats[found])]
    typed = [family for family in marked if family.formats[found].config_types]
    if path.is_dir() and typed:
        model_type = _model_type(path)
        named = [family for family in typed if model_type in family.formats[found].config_types]
        return named or [family for family in marked if family not in typed]
    return marked


def _has_marks(path: Path, declared: Format) -> bool:
    return not declared.marks or any((path / name).is_file() for name in declared.marks)


def _folder_format(folder: Path) -> str | None:
    for family in families().values():
        for name, declared in family.formats.items():
            if declared.marks and _has_marks(folder, declared):
                return name
    if (folder / "model.bin").is_file() and any(folder.glob("vocabulary.*")):
        return "ctranslate2"
    weights = [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]
    return "hf" if weights and _model_type(folder) else None


def _model_type(folder: Path) -> str | None:
    try:
        return model_type(folder)
    except InputError:
        return None


def _single_file(folder: Path) -> Path | None:
    files = [path for pattern in SINGLE_FILES for path in folder.glob(pattern) if path.is_file()]
    known = [path for path in files if _file_format(path)]
    return known[0] if len(known) == 1 else None


def _file_format(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(6)
        if start.startswith(GGML):
            return "ggml"
        if start.startswith(b"PK"):
            return "openai" if _is_checkpoint(file) else None
        if start.startswith(COMPRESSED_TAR):
            # its content is known only after unpacking, which the reader does
            return "nemo" if path.suffix == ".nemo" else None
        return "nemo" if _begins_as_nemo(file) else None


def _is_checkpoint(file: IO[bytes]) -> bool:
    """Return whether a zip has torch's pickle with the names of OpenAI's dimensions; nothing is unpickled."""
    try:
        with zipfile.ZipFile(file) as archive:
            pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1:
                return False
            with archive.open(pickles[0]) as pickled:
                return b"n_audio_state" in pickled.read(MAX_PICKLED_BYTES)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError):
        # zipfile's exceptions for damaged and encrypted files
        return False


def _begins_as_nemo(file: IO[bytes]) -> bool:
    """Return whether a tar has a model's configuration or weights among its first members."""
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            names = [member.name.removeprefix("./") for member, _ in zip(tar, range(20), strict=False)]
    except tarfile.TarError:
        return False
    return not {"model_config.yaml", "model_weights.ckpt"}.isdisjoint(names)
