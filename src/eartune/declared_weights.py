"""Names, types and shapes of weights as a model folder's files declare them, read without their values.

Compared with the configuration before a network is built: a damaged one may need more memory than any machine has.
Format: github.com/huggingface/safetensors, and torch.save's zip.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from typing_extensions import TypedDict

from eartune.errors import InputError, first_line
from eartune.parsing import JsonObject, check_shape, parse_json, read_json
from eartune.weights import QUANTIZED_ADVICE, RELOAD_ADVICE, require_finite, require_types

# as in the safetensors library; a header of 1.5 B parameters takes 150 kB
MAX_HEADER_BYTES = 100_000_000
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# setting for the number of layers -> pattern of weights that each layer has
_LAYERS = {
    "encoder_layers": r"encoder\.layers\.(\d+)\.",
    "decoder_layers": r"decoder\.layers\.(\d+)\.",
    "encoder_config.num_hidden_layers": r"encoder\.layers\.(\d+)\.",
    "decoder_config.num_hidden_layers": r"decoder\.layers\.(\d+)\.",
    "num_decoder_layers": r"decoder\.lstm\.weight_ih_l(\d+)$",
}
# copies of weights that two modules share make a network larger than its file
_LARGEST_GROWTH = 2


@dataclass(frozen=True)
class Declared:
    """Type and shape of a tensor as declared in its file."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def require_declared(folder: Path, network_class: Any, config: Any) -> None:
    """Raise InputError if a folder's weights are not those of a `network_class` of `config`.

    Refused by name are types that are not those of weights, duplicate names, other numbers of layers and other shapes.
    """
    declared, where = read_declared(folder), str(folder / "config.json")
    require_layers(declared, config, where=where)
    require_shapes({name: each.shape for name, each in declared.items()}, network_class, config, where=where)


def require_weight_file(path: Path) -> None:
    """Raise InputError if a file's tensors are not weights by name, type or value. They are read one by one."""
    if path.suffix != ".safetensors":
        require_types({name: each.dtype for name, each in _read_pickled(path).items()}, where=str(path))
        require_finite(torch.load(path, map_location="cpu", weights_only=True, mmap=True).items(), where=str(path))
        return
    try:
        require_types({name: each.dtype for name, each in read_safetensors_header(path).items()}, where=str(path))
        with safe_open(path, framework="pt") as file:
            require_finite(((name, file.get_tensor(name)) for name in file.keys()), where=str(path))  # noqa: SIM118
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {first_line(error)[:200]}") from None


def read_declared(folder: Path) -> dict[str, Declared]:
    """Return the tensors declared in the files that transformers loads. Raises InputError for duplicates."""
    found: dict[str, Declared] = {}
    file_of: dict[str, str] = {}
    for path in _loaded_files(folder):
        declared = read_safetensors_header(path) if path.suffix == ".safetensors" else _read_pickled(path)
        require_types({name: each.dtype for name, each in declared.items()}, where=str(path))
        for name, each in declared.items():
            if name in found:
                raise InputError(f"{folder}: {name} is in {file_of[name]} and in {path.name}; {RELOAD_ADVICE}")
            found[name], file_of[name] = each, path.name
    return found


def _loaded_files(folder: Path) -> list[Path]:
    """Return the files with weights that transformers would load."""
    for single in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            return [folder / single]
        if index.is_file():
            return [folder / name for name in _shards(index)]
    # others are refused when they are loaded
    return []


class _Index(TypedDict):
    weight_map: dict[str, str]


def _shards(index: Path) -> list[str]:
    names = read_json(index, _Index, advice=RELOAD_ADVICE, unique_keys=True)["weight_map"]
    shards = sorted(set(names.values()))
    missing = [name for name in shards if not (index.parent / name).is_file()]
    if missing:
        raise InputError(f"{index}: names {missing[0]!r:.120}, which does not exist; copy the whole model folder")
    return shards


class _Tensor(TypedDict):
    """A tensor in a safetensors header."""

    dtype: str
    shape: list[Annotated[int, Field(ge=0)]]


def read_safetensors_header(path: Path) -> dict[str, Declared]:
    """Read the tensors declared in a safetensors file. Raises InputError for a damaged file and for duplicate names."""
    with path.open("rb") as file:
        start = file.read(8)
        if start == _LFS_POINTER[:8]:
            raise InputError(f"{path}: is a pointer of Git LFS, not the weights; fetch them with: git lfs pull")
        size = int.from_bytes(start, "little")
        if len(start) < 8 or size > min(MAX_HEADER_BYTES, path.stat().st_size):
            raise InputError(
                f"{path}: is damaged: its header is longer than the file, or than any model's; {RELOAD_ADVICE}"
            )
        text = file.read(size)
    where = f"{path}: header"
    header = parse_json(text, JsonObject, where=where, advice=RELOAD_ADVICE, unique_keys=True)
    header.pop("__metadata__", None)
    tensors = check_shape(header, dict[str, _Tensor], where=where, advice=RELOAD_ADVICE)
    return {name: _declared(each, name, path) for name, each in tensors.items()}


def _declared(each: _Tensor, name: str, path: Path) -> Declared:
    dtype = each["dtype"]
    if dtype not in _TYPES:
        raise InputError(f"{path}: {name} is {dtype!r:.40}, but weights must be floating point; {QUANTIZED_ADVICE}")
    return Declared(_TYPES[dtype], tuple(each["shape"]))


def _read_pickled(path: Path) -> dict[str, Declared]:
    try:
        loaded = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:  # an unpickler may raise any type for arbitrary bytes
        raise InputError(f"{path}: cannot be read safely ({first_line(error)[:120]}); {RELOAD_ADVICE}") from None
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path}: holds {type(loaded).__name__!r}, not weights under names; {RELOAD_ADVICE}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(f"{path}: {name!r:.80} is a {type(value).__name__}, not a tensor; {RELOAD_ADVICE}")
    return {name: Declared(value.dtype, tuple(value.shape)) for name, value in loaded.items()}


def require_layers(names: Iterable[str], config: Any, *, where: str) -> None:
    """Raise InputError if a configuration has more layers than the weights, or fewer. No network is built."""
    settings, names = config.to_dict(), list(names)
    for setting, pattern in _LAYERS.items():
        section, _, key = setting.rpartition(".")
        configured = (settings.get(section) or {} if section else settings).get(key)
        if not isinstance(configured, int):
            continue
        matches = (re.search(rf"(?:^|\.){pattern}", name) for name in names)
        found = len({match[1] for match in matches if match})
        if configured != found:
            raise InputError(
                f"{where}: its configuration has {configured} layers ({setting}), but its weights have {found}; "
                f"{RELOAD_ADVICE}"
            )


def require_shapes(shapes: Mapping[str, tuple[int, ...]], network_class: Any, config: Any, *, where: str) -> None:
    """Raise InputError if a configuration needs weights of other shapes, or far more of them, than the file has."""
    # meta tensors take no memory, however large the configuration makes the network
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in network_class(config).state_dict().items()}
    for name in sorted(expected.keys() & shapes.keys()):
        if expected[name] != shapes[name]:
            raise InputError(
                f"{where}: {name} is {list(shapes[name])}, but {list(expected[name])} in its configuration; "
                f"{RELOAD_ADVICE}"
            )
    needed, actual = (sum(map(math.prod, each.values())) for each in (expected, shapes))
    if needed > _LARGEST_GROWTH * actual:
        raise InputError(
            f"{where}: its weights are incomplete: its configuration needs {needed} values, but they have {actual}; "
            f"{RELOAD_ADVICE}"
        )
