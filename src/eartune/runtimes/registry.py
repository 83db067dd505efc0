"""The runtime of a file or folder, chosen by its contents; programs are imported only when they are needed."""

from __future__ import annotations

import importlib
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, cast

from eartune.base_model import OTHER_NAMES, model_type
from eartune.errors import InputError
from eartune.language_tokens import parse_stand_ins

if TYPE_CHECKING:
    # it imports torch, which recognising a file does not need
    from eartune.runtimes.runtime import Runtime, Task

ExportFormat: TypeAlias = Literal["ggml", "ctranslate2", "onnx", "openai", "nemo", "hf"]

GGML = struct.pack("<i", 0x67676D6C)
COMPRESSED_TAR = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
# a folder with exactly one such file is read as that file
SINGLE_FILES = ("*.bin", "*.pt", "*.nemo")
# names and shapes of a large model's tensors take a tenth of it
MAX_PICKLED_BYTES = 4 * 2**20
ONNX_WHISPER = "encoder_model.onnx"
ONNX_OTHERS = ("model.onnx", "encoder-model.onnx")


def recognise(path: Path) -> ExportFormat | None:
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
    without a token in a Whisper. A .nemo file needs `read_nemo_config`, which reads its configuration without NeMo.
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
    families = _families(found, path)
    if family is not None and family not in families:
        raise InputError(f"{path}: is a {' or '.join(families)} ({found}), not a {family}; give the {family}'s export")
    settings: dict[str, Any] = {"device": device, "num_threads": num_threads, "task": task}
    if found == "nemo":
        assert read_nemo_config is not None, "a .nemo file is read before NeMo opens it"
        settings["read_config"] = read_nemo_config
    module, name = _opener(found, path)
    runtime = getattr(importlib.import_module(f"eartune.runtimes.{module}"), name)(path, **settings)
    if language_token is not None:
        runtime.stand_ins = parse_stand_ins(language_token)
    return cast("Runtime", runtime)


def _opener(found: ExportFormat, path: Path) -> tuple[str, str]:
    """Return the module and the name of the opener of a format."""
    if found == "onnx":
        is_whisper = (path / ONNX_WHISPER).is_file()
        return ("onnx_whisper", "OnnxWhisper") if is_whisper else ("onnx_asr", "OnnxAsr")
    return {
        "ggml": ("whisper_cpp", "WhisperCpp"),
        "ctranslate2": ("faster_whisper", "FasterWhisper"),
        "openai": ("openai_whisper", "OpenAIWhisper"),
        "nemo": ("nemo_toolkit", "open_nemo"),
        "hf": ("transformers_folder", "open_folder"),
    }[found]


def _families(found: ExportFormat, path: Path) -> tuple[str, ...]:
    if found == "hf":
        name = str(_model_type(path))
        other = next((family for word, family in OTHER_NAMES.items() if name.startswith(word)), None)
        return (other or name.split("_")[0],)
    if found in ("nemo", "onnx") and not (path / ONNX_WHISPER).is_file():
        return ("canary", "parakeet")
    return ("whisper",)


def _folder_format(folder: Path) -> ExportFormat | None:
    if any((folder / name).is_file() for name in (ONNX_WHISPER, *ONNX_OTHERS)):
        return "onnx"
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


def _file_format(path: Path) -> ExportFormat | None:
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
