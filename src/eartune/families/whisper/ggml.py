"""Whisper models as ggml files, for whisper.cpp and programs built on it (whisper-rs, pywhispercpp, ...).

Format (whisper.cpp: whisper_model_load in src/whisper.cpp, models/convert-pt-to-ggml.py, examples/quantize), all
numbers little-endian: a magic number, sizes, mel filters, the bytes of the vocabulary, and all weights under OpenAI's
names, each with its own header. M mel bins, F frequencies.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, quants
from transformers import WhisperConfig

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.families.whisper.features import FFT_SAMPLES
from eartune.families.whisper.ggml_vocabulary import Vocabulary, vocabulary_of
from eartune.families.whisper.loss import whisper_of
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai import transformers_name
from eartune.files import new_file

QuantizedKind = Literal["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
GgmlKind = Literal["f32", "f16"] | QuantizedKind
Floats = npt.NDArray[np.float32]

MAGIC = 0x67676D6C
QUANTIZATION_VERSION = 2
# ggml's numbers of the kinds of files (enum ggml_ftype in ggml.h)
FILE_KINDS: dict[GgmlKind, int] = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9}

# weights converted at a time: 4 MiB
CHUNK_WEIGHTS = 1 << 20
LARGEST_F16 = 65504.0
# consecutive weights of a quantised row that share a scale
BLOCK_WEIGHTS = 32
# Smaller weights are set to zero: the scale of their block would be zero in float16, its inverse infinite in float32.
SMALLEST_QUANTIZED = 1e-30


def write_ggml(model: WhisperModel, out: Path, *, kind: GgmlKind) -> None:
    """Write a model without adapters as one ggml file; `kind` is the type of its matrices.

    Convolutions are float16 unless `kind` is f32, and the rest is float32, as whisper.cpp expects. Raises InputError,
    and leaves no file, where whisper.cpp could not run the model unchanged.
    """
    config = whisper_of(model.network).config
    _refuse_other_networks(config, kind)
    vocabulary = vocabulary_of(model)
    weights = _openai_weights(model, vocabulary)
    with new_file(out) as aside, aside.open("wb") as file:
        _write_sizes(file, config, vocabulary, kind)
        _write_mel_filters(file, config.num_mel_bins)
        _write_tokens(file, vocabulary)
        for name, weight in weights.items():
            _write_weight(file, name, weight, kind)


def _refuse_other_networks(config: WhisperConfig, kind: GgmlKind) -> None:
    """Raise InputError for a network that whisper.cpp, which reads only its sizes, would misinterpret."""
    width = config.d_model
    differences = [
        f"{name} is {found!r} where whisper.cpp expects {expected!r}"
        for name, found, expected in (
            ("encoder_ffn_dim", config.encoder_ffn_dim, 4 * width),
            ("decoder_ffn_dim", config.decoder_ffn_dim, 4 * width),
            ("activation_function", config.activation_function, "gelu"),
            ("scale_embedding", config.scale_embedding, False),
        )
        if found != expected
    ]
    if kind in get_args(QuantizedKind) and width % BLOCK_WEIGHTS:
        differences.append(f"d_model is {width}, and {kind} needs a multiple of {BLOCK_WEIGHTS}; take f16")
    if differences:
        raise InputError(f"the model cannot be written for whisper.cpp: {'; '.join(differences)}")


def _openai_weights(model: WhisperModel, vocabulary: Vocabulary) -> dict[str, torch.Tensor]:
    """Return the network's weights under OpenAI's names, in the order of OpenAI's checkpoints."""
    network = whisper_of(model.network)
    named: Mapping[str, torch.Tensor] = network.state_dict()
    theirs = {name: f"model.{transformers_name(name)}" for name in _openai_names(network.config)}
    other = sorted({*theirs.values(), "proj_out.weight"} ^ named.keys())
    if other:
        raise InputError(
            f"the model cannot be written for whisper.cpp: its weights are not Whisper's ({', '.join(other[:3])}, "
            f"{len(other)} in all); merge its adapter first"
        )
    embedding = "decoder.token_embedding.weight"
    if not torch.equal(named["proj_out.weight"], named[theirs[embedding]]):
        raise InputError(
            "the model cannot be written for whisper.cpp, whose head is the token embedding: its proj_out is another"
        )
    weights = {name: named[their] for name, their in theirs.items()}
    # rows after the last token are padding
    weights[embedding] = weights[embedding][: vocabulary.size]
    return weights


def _openai_names(config: WhisperConfig) -> Iterator[str]:
    def block(prefix: str, *, cross: bool) -> Iterator[str]:
        attentions = ["attn", "cross_attn"] if cross else ["attn"]
        yield from _both(f"{prefix}.mlp_ln", f"{prefix}.mlp.0", f"{prefix}.mlp.2")
        for attention in attentions:
            yield from _both(f"{prefix}.{attention}_ln", f"{prefix}.{attention}.query")
            yield f"{prefix}.{attention}.key.weight"
            yield from _both(f"{prefix}.{attention}.value", f"{prefix}.{attention}.out")

    yield from ("decoder.positional_embedding", "encoder.positional_embedding", "decoder.token_embedding.weight")
    for number in range(config.decoder_layers):
        yield from block(f"decoder.blocks.{number}", cross=True)
    yield from _both("decoder.ln", "encoder.conv1", "encoder.conv2")
    for number in range(config.encoder_layers):
        yield from block(f"encoder.blocks.{number}", cross=False)
    yield from _both("encoder.ln_post")


def _both(*layers: str) -> Iterator[str]:
    for layer in layers:
        yield from (f"{layer}.weight", f"{layer}.bias")


def _write_sizes(file: BinaryIO, config: WhisperConfig, vocabulary: Vocabulary, kind: GgmlKind) -> None:
    quantized = kind in get_args(QuantizedKind)
    sizes = (
        vocabulary.size,
        config.max_source_positions,
        config.d_model,
        config.encoder_attention_heads,
        config.encoder_layers,
        config.max_target_positions,
        config.d_model,
        config.decoder_attention_heads,
        config.decoder_layers,
        config.num_mel_bins,
        FILE_KINDS[kind] + quantized * 1000 * QUANTIZATION_VERSION,
    )
    file.write(struct.pack("<12i", MAGIC, *sizes))


def _write_mel_filters(file: BinaryIO, num_mel_bins: int) -> None:
    filters_MF = openai_mel_filters(num_mel_bins)
    file.write(struct.pack("<2i", *filters_MF.shape))
    file.write(filters_MF.astype("<f4").tobytes())


def _write_tokens(file: BinaryIO, vocabulary: Vocabulary) -> None:
    file.write(struct.pack("<i", len(vocabulary.tokens)))
    for token in vocabulary.tokens:
        file.write(struct.pack("<i", len(token)) + token)


def _write_weight(file: BinaryIO, name: str, weight: torch.Tensor, kind: GgmlKind) -> None:
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        weight = weight[:, None]
    kind = _kind_of(name, weight, kind)
    encoded = name.encode()
    file.write(struct.pack("<3i", weight.dim(), len(encoded), _tensor_kind(kind)))
    file.write(struct.pack(f"<{weight.dim()}i", *reversed(weight.shape)))
    file.write(encoded)
    rows = max(1, CHUNK_WEIGHTS // max(1, weight[0].numel()))
    for first in range(0, len(weight), rows):
        values: Floats = weight[first : first + rows].detach().to("cpu", torch.float32).numpy()
        _refuse_unwritable(name, values, kind)
        file.write(encode_weights(values, kind))


def _kind_of(name: str, weight: torch.Tensor, kind: GgmlKind) -> GgmlKind:
    if weight.dim() == 1 or name.endswith((".bias", "positional_embedding")):
        return "f32"
    if weight.dim() == 2 or kind == "f32":
        return kind
    return "f16"


def _refuse_unwritable(name: str, values: Floats, kind: GgmlKind) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"the model cannot be written: {name} holds NaN or infinity; its training has failed")
    largest = float(np.abs(values).max())
    if kind != "f32" and largest > LARGEST_F16:
        raise InputError(f"the model cannot be written as {kind}: {name} holds {largest:g}; write it as f32")


def encode_weights(values: Floats, kind: GgmlKind) -> bytes:
    """Return rows of finite weights as bytes, equal to ggml_quantize_chunk (ggml/src/ggml-quants.c) if quantised."""
    if kind in get_args(QuantizedKind):
        # also makes zeros positive, as their sign depends on ggml's compiler
        values = np.where(np.abs(values) < SMALLEST_QUANTIZED, np.float32(0), values)
    encoded: bytes = quants.quantize(values, _tensor_kind(kind)).tobytes()
    return encoded


def _tensor_kind(kind: GgmlKind) -> GGMLQuantizationType:
    return GGMLQuantizationType[kind.upper()]


# Slaney's scale: linear up to 1000 Hz, then logarithmic (Auditory Toolbox, 1998)
_HZ_PER_MEL = 200 / 3
_FIRST_LOG_HZ = 1000.0
_FIRST_LOG_MEL = 15.0
_LOG_STEP = np.log(6.4) / 27


def openai_mel_filters(num_mel_bins: int) -> npt.NDArray[np.float32]:
    """Return filters [M, F] as librosa, the source of OpenAI's file, computes them: rounded to float32 twice."""
    highest_mel = _FIRST_LOG_MEL + np.log(SAMPLE_RATE_HZ / 2 / _FIRST_LOG_HZ) / _LOG_STEP
    corners_hz = _hz(np.linspace(0, highest_mel, num_mel_bins + 2))
    frequencies_hz_F = np.fft.rfftfreq(FFT_SAMPLES, 1 / SAMPLE_RATE_HZ)
    widths_hz = np.diff(corners_hz)[:, None]
    distances_hz = corners_hz[:, None] - frequencies_hz_F
    rising_MF = -distances_hz[:-2] / widths_hz[:-1]
    falling_MF = distances_hz[2:] / widths_hz[1:]
    filters_MF = np.maximum(0, np.minimum(rising_MF, falling_MF)).astype(np.float32)
    areas_M1 = 2 / (corners_hz[2:] - corners_hz[:-2])[:, None]
    # adding +0 removes -0, which occurs at other places in other NumPy versions
    return (filters_MF * areas_M1).astype(np.float32) + np.float32(0)


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logarithmic = _FIRST_LOG_HZ * np.exp(_LOG_STEP * (mels - _FIRST_LOG_MEL))
    return np.where(mels >= _FIRST_LOG_MEL, logarithmic, _HZ_PER_MEL * mels)
