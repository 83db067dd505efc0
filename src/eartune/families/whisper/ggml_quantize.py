"""Weights as ggml's quantised blocks, bit for bit those of ggml_quantize_chunk (ggml/src/ggml-quants.c).

Two things ggml's source leaves to its compiler: the sign of a smallest weight that is zero, and blocks that float16
cannot tell from zeros.

A block is 32 neighbouring weights of a row: integers, a scale in float16, and in the kinds that end in _1 the smallest
weight. B blocks, W the 32 weights of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

QuantizedKind = Literal["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

BLOCK_WEIGHTS = 32


def quantize(weights: Floats, kind: QuantizedKind) -> bytes:
    """Return the blocks of finite weights, row after row; the rows are multiples of 32 long."""
    blocks_BW = np.ascontiguousarray(weights, dtype=np.float32).reshape(-1, BLOCK_WEIGHTS)
    return _WRITERS[kind](blocks_BW).tobytes()


def _q8_0(blocks_BW: Floats) -> Bytes:
    scales_B = np.abs(blocks_BW).max(axis=1) / np.float32(127)
    scaled_BW = blocks_BW * _inverse(scales_B)[:, None]
    whole_BW = np.trunc(scaled_BW)
    # halves go away from zero, as C's roundf has it; each operation is exact
    rounded_BW = whole_BW + np.trunc(2 * (scaled_BW - whole_BW))
    return np.hstack([_half(scales_B), rounded_BW.astype(np.int8).view(np.uint8)])


def _q5_0(blocks_BW: Floats) -> Bytes:
    scales_B, codes_BW = _around_zero(blocks_BW, bits=5)
    return np.hstack([_half(scales_B), _fifth_bits(codes_BW), _nibbles(codes_BW)])


def _q4_0(blocks_BW: Floats) -> Bytes:
    scales_B, codes_BW = _around_zero(blocks_BW, bits=4)
    return np.hstack([_half(scales_B), _nibbles(codes_BW)])


def _q5_1(blocks_BW: Floats) -> Bytes:
    scales_B, lowest_B, codes_BW = _above_lowest(blocks_BW, bits=5)
    return np.hstack([_half(scales_B), _half(lowest_B), _fifth_bits(codes_BW), _nibbles(codes_BW)])


def _q4_1(blocks_BW: Floats) -> Bytes:
    scales_B, lowest_B, codes_BW = _above_lowest(blocks_BW, bits=4)
    return np.hstack([_half(scales_B), _half(lowest_B), _nibbles(codes_BW)])


_WRITERS: dict[QuantizedKind, Callable[[Floats], Bytes]] = {
    "q8_0": _q8_0,
    "q5_1": _q5_1,
    "q5_0": _q5_0,
    "q4_1": _q4_1,
    "q4_0": _q4_0,
}


def _around_zero(blocks_BW: Floats, *, bits: int) -> tuple[Floats, Bytes]:
    """Return scales [B] and codes [B, W]: the weight furthest from zero has code 0, zero lies in the middle."""
    middle = 1 << (bits - 1)
    furthest_B = _picked(blocks_BW, np.abs(blocks_BW).argmax(axis=1))
    # a block of zeros of either sign counts as +0
    furthest_B[furthest_B == 0] = 0
    scales_B = furthest_B / np.float32(-middle)
    codes_BW = blocks_BW * _inverse(scales_B)[:, None] + np.float32(middle + 0.5)
    return scales_B, np.minimum(codes_BW.astype(np.uint8), 2 * middle - 1)


def _above_lowest(blocks_BW: Floats, *, bits: int) -> tuple[Floats, Floats, Bytes]:
    """Return scales [B], lowest weights [B] and codes [B, W] in steps of the scale above the lowest."""
    most = (1 << bits) - 1
    lowest_B = _picked(blocks_BW, blocks_BW.argmin(axis=1))
    scales_B = (blocks_BW.max(axis=1) - lowest_B) / np.float32(most)
    codes_BW = (blocks_BW - lowest_B[:, None]) * _inverse(scales_B)[:, None] + np.float32(0.5)
    return scales_B, lowest_B, np.minimum(codes_BW.astype(np.uint8), most)


def _picked(blocks_BW: Floats, places_B: npt.NDArray[np.intp]) -> Floats:
    picked_B1: Floats = np.take_along_axis(blocks_BW, places_B[:, None], axis=1)
    return picked_B1[:, 0]


def _inverse(scales_B: Floats) -> Floats:
    """Return 1 / scale, and 0 where that is not a number: in float16 such a scale and all its weights are zero."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse_B = np.float32(1) / scales_B
    return np.where(np.isfinite(inverse_B), inverse_B, np.float32(0))


def _half(values_B: Floats) -> Bytes:
    return values_B.astype("<f2")[:, None].view(np.uint8)


def _nibbles(codes_BW: Bytes) -> Bytes:
    """Pack the low four bits: each byte holds a weight of the first half of the block and one of the second."""
    half = BLOCK_WEIGHTS // 2
    packed: Bytes = np.bitwise_or(codes_BW[:, :half] & 15, codes_BW[:, half:] << 4, dtype=np.uint8)
    return packed


def _fifth_bits(codes_BW: Bytes) -> Bytes:
    return np.packbits(codes_BW >> 4, axis=1, bitorder="little")
