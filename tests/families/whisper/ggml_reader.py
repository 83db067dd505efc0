"""A reader of whisper.cpp's ggml files, written from the format and not from our writer; and a way to break them."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

SIZES = (
    "n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer",
    "n_text_ctx", "n_text_state", "n_text_head", "n_text_layer", "n_mels", "ftype",
)  # fmt: skip
KINDS = {0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0"}
BLOCK_BYTES = {"q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "q8_0": 34}


@dataclass
class Tensor:
    """One weight: how it is kept, its values in float32, and where its bytes lie in the file."""

    kind: str
    values: np.ndarray
    offset: int
    num_bytes: int


@dataclass
class GgmlFile:
    sizes: dict[str, int]
    filters_MF: np.ndarray
    tokens: list[bytes]
    tokens_offset: int
    tensors: dict[str, Tensor]


def read_ggml(path: Path) -> GgmlFile:
    """Read a whole file; nothing may be left over."""
    with path.open("rb") as file:
        assert _ints(file, 1) == (0x67676D6C,)
        sizes = dict(zip(SIZES, _ints(file, 11), strict=True))
        num_mels, num_frequencies = _ints(file, 2)
        filters = np.frombuffer(file.read(4 * num_mels * num_frequencies), "<f4").reshape(num_mels, num_frequencies)
        tokens_offset = file.tell()
        tokens = [file.read(*_ints(file, 1)) for _ in range(*_ints(file, 1))]
        tensors: dict[str, Tensor] = {}
        while header := file.read(12):
            num_dims, name_bytes, kind = struct.unpack("<3i", header)
            shape = _ints(file, num_dims)[::-1]
            name = file.read(name_bytes).decode()
            assert name not in tensors
            tensors[name] = _tensor(file, KINDS[kind], shape)
    return GgmlFile(sizes, filters, tokens, tokens_offset, tensors)


def _ints(file: BinaryIO, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}i", file.read(4 * count))


def _tensor(file: BinaryIO, kind: str, shape: tuple[int, ...]) -> Tensor:
    offset, count = file.tell(), int(np.prod(shape))
    if kind in BLOCK_BYTES:
        size = BLOCK_BYTES[kind]
        raw = file.read(count // 32 * size)
        values = np.concatenate([_block(raw[first : first + size], kind) for first in range(0, len(raw), size)])
    else:
        raw = file.read(count * (4 if kind == "f32" else 2))
        values = np.frombuffer(raw, "<f4" if kind == "f32" else "<f2").astype(np.float32)
    return Tensor(kind, values.reshape(shape), offset, len(raw))


def _block(raw: bytes, kind: str) -> np.ndarray:
    """Return the 32 weights of one block, number by number as ggml-common.h describes it."""
    scale = float(np.frombuffer(raw[:2], "<f2")[0])
    if kind == "q8_0":
        return np.array([scale * code for code in struct.unpack("<32b", raw[2:])], np.float32)
    lowest = float(np.frombuffer(raw[2:4], "<f2")[0]) if kind.endswith("_1") else None
    nibbles = [byte & 15 for byte in raw[-16:]] + [byte >> 4 for byte in raw[-16:]]
    if kind.startswith("q5"):
        (high,) = struct.unpack("<I", raw[-20:-16])
        nibbles = [code | (high >> place & 1) << 4 for place, code in enumerate(nibbles)]
    if lowest is None:
        middle = 16 if kind.startswith("q5") else 8
        return np.array([scale * (code - middle) for code in nibbles], np.float32)
    return np.array([scale * code + lowest for code in nibbles], np.float32)
