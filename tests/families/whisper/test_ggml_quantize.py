"""Quantised blocks: bit for bit those of ggml itself, as whisper.cpp's Python package carries it."""

import ctypes
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eartune.families.whisper.ggml import QuantizedKind, encode_weights

KINDS: tuple[QuantizedKind, ...] = get_args(QuantizedKind)
# enum ggml_type in ggml.h
NUMBERS: dict[QuantizedKind, int] = {"q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8}
Quantizer = Callable[[np.ndarray, QuantizedKind], bytes]


@pytest.fixture(scope="module")
def ggml() -> Quantizer:
    """ggml_quantize_chunk of the library that pywhispercpp brings with it."""
    files = importlib.metadata.files("pywhispercpp") or []
    (library, *_) = [file for file in files if "ggml-base" in file.name]
    function = ctypes.CDLL(str(library.locate())).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]

    def quantized(rows: np.ndarray, kind: QuantizedKind) -> bytes:
        out = np.zeros(rows.nbytes, np.uint8)
        num_bytes = function(NUMBERS[kind], rows.ctypes.data, out.ctypes.data, 0, *rows.shape, None)
        return out[:num_bytes].tobytes()

    return quantized


# zeros have one sign here, and what is not zero is not one in float16 either: ggml leaves the others to its compiler
weights = st.floats(-65504, 65504, width=32).map(lambda value: value + 0.0 if abs(value) > 1e-30 else 0.0)


@pytest.mark.parametrize("kind", KINDS)
@given(rows=arrays(np.float32, st.tuples(st.integers(1, 3), st.sampled_from([32, 96])), elements=weights))
def test_any_weights_become_ggmls_blocks(ggml: Quantizer, kind: QuantizedKind, rows: np.ndarray) -> None:
    assert encode_weights(rows, kind) == ggml(rows, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-6, 0.02, 1.0, 300.0])
def test_random_weights_become_ggmls_blocks(ggml: Quantizer, kind: QuantizedKind, scale: float) -> None:
    rows = (scale * np.random.default_rng(0).standard_normal((1024, 384))).astype(np.float32)
    assert encode_weights(rows, kind) == ggml(rows, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_halfway_between_two_codes_become_ggmls_blocks(ggml: Quantizer, kind: QuantizedKind) -> None:
    rows = (np.random.default_rng(0).integers(-254, 255, (512, 64)) / 2).astype(np.float32)
    assert encode_weights(rows, kind) == ggml(rows, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_real_weights_become_ggmls_blocks(ggml: Quantizer, kind: QuantizedKind, real_tiny_en: Path) -> None:
    weights = torch.load(real_tiny_en, weights_only=True)["model_state_dict"]
    matrices = [np.ascontiguousarray(weight.float().numpy()) for weight in weights.values() if weight.dim() == 2]
    assert len(matrices) == 3 + 4 * 10 + 4 * 6
    for rows in matrices:
        assert encode_weights(rows, kind) == ggml(rows, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight", [-0.0, 1e-40, -1e-40, 1e-31])
def test_weights_too_small_for_float16_become_zeros(ggml: Quantizer, kind: QuantizedKind, weight: float) -> None:
    """ggml divides by zero for some of them, and takes what its compiler makes of infinity for a code."""
    zeros = np.zeros((1, 32), np.float32)
    rows = zeros.copy()
    rows[0, 0] = weight
    assert encode_weights(rows, kind) == encode_weights(np.full_like(rows, weight), kind) == ggml(zeros, kind)
