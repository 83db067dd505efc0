"""Whisper as two ONNX graphs: the encoder, and one decoder for the first step and for those after it.

Names, order, types and axes of inputs and outputs are those of Optimum (optimum-onnx, WhisperOnnxConfig and
merge_decoders), which its own classes, transformers.js and onnx-asr go by.
B batch, M mel bins, T frames, P positions of 20 ms, D model width, U tokens, H heads, K keys, C channels of a head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration

from eartune.export.onnx_files import Quantization, save_graph, traced_graph
from eartune.families.whisper.onnx.merged import merge_branches
from eartune.families.whisper.onnx.modules import Encoder, FirstDecoder, NextDecoder

ENCODER, DECODER = "encoder_model.onnx", "decoder_model_merged.onnx"
# the inputs of these products hold outliers, and 8 bits have one step size for all values: with these in float32,
# 0.8 % of whisper-tiny's words change instead of 2.1 %
OUTLIER_PRODUCTS = ("/fc2/",)
FLAG = "use_cache_branch"
BATCH, TEXT, PAST, SOUND = (
    "batch_size",
    "decoder_sequence_length",
    "past_decoder_sequence_length",
    "encoder_sequence_length",
)


# the tensors that onnxruntime's quantiser replaces a table by: ends of their names, and the axis of tokens in each
PARTS = {"quantized": 1, "scale": 0, "zero_point": 0}


def write_encoder(network: WhisperForConditionalGeneration, folder: Path, quantization: Quantization) -> None:
    """Write input_features [B, M, T] -> last_hidden_state [B, P, D]."""
    config = network.config
    features_BMT = torch.zeros(2, config.num_mel_bins, 2 * config.max_source_positions)
    graph = traced_graph(
        Encoder(network),
        folder,
        inputs={"input_features": features_BMT},
        outputs=["last_hidden_state"],
        dynamic={"input_features": {0: BATCH}, "last_hidden_state": {0: BATCH}},
        quantization=quantization,
        kept_in_float32=OUTLIER_PRODUCTS if quantization == "int8" else (),
    )
    save_graph(graph, folder / ENCODER, metadata={})


def write_decoder(network: WhisperForConditionalGeneration, folder: Path, quantization: Quantization) -> None:
    """Write tokens [B, U], with the encoder's states [B, P, D] or with a past -> logits [B, U, V] and the past."""
    first, following = _first_step(network, folder, quantization), _next_step(network, folder, quantization)
    if quantization == "int8":
        quantize_embedding(first)
        quantize_embedding(following)
    save_graph(merge_branches(first, following, flag=FLAG), folder / DECODER, metadata={})


def past_names(prefix: str, num_layers: int) -> list[str]:
    """List the names of a past, in Optimum's order."""
    return [
        f"{prefix}.{number}.{side}.{part}"
        for number in range(num_layers)
        for side in ("decoder", "encoder")
        for part in ("key", "value")
    ]


def _first_step(network: WhisperForConditionalGeneration, folder: Path, quantization: Quantization) -> Any:
    config = network.config
    kept = past_names("present", config.decoder_layers)
    graph = traced_graph(
        FirstDecoder(network),
        folder,
        inputs={
            "input_ids": torch.ones(2, 3, dtype=torch.long),
            "encoder_hidden_states": torch.zeros(2, config.max_source_positions, config.d_model),
        },
        outputs=["logits", *kept],
        dynamic={
            "input_ids": {0: BATCH, 1: TEXT},
            "encoder_hidden_states": {0: BATCH, 1: SOUND},
            "logits": {0: BATCH, 1: TEXT},
            **_axes(kept, f"{PAST} + {TEXT}"),
        },
        quantization=quantization,
    )
    for output in graph.graph.output:
        if output.name in kept:
            _, heads, _, channels = output.type.tensor_type.shape.dim
            heads.dim_value = config.decoder_attention_heads
            channels.dim_value = config.d_model // config.decoder_attention_heads
    return graph


def _next_step(network: WhisperForConditionalGeneration, folder: Path, quantization: Quantization) -> Any:
    config = network.config
    num_layers, num_heads = config.decoder_layers, config.decoder_attention_heads
    given = past_names("past_key_values", num_layers)
    kept = [name for name in past_names("present", num_layers) if ".decoder." in name]
    past = {
        name: torch.zeros(
            2, num_heads, 5 if ".decoder." in name else config.max_source_positions, config.d_model // num_heads
        )
        for name in given
    }
    return traced_graph(
        NextDecoder(network),
        folder,
        inputs={"input_ids": torch.ones(2, 3, dtype=torch.long), **past},
        outputs=["logits", *kept],
        dynamic={
            "input_ids": {0: BATCH, 1: TEXT},
            "logits": {0: BATCH, 1: TEXT},
            **_axes(given, PAST),
            **_axes(kept, f"{PAST} + {TEXT}"),
        },
        quantization=quantization,
    )


def _axes(names: list[str], own_length: str) -> dict[str, dict[int, str]]:
    """Name the axes [B, H, K, C] of a past that vary: batch and keys."""
    return {name: {0: BATCH, 2: own_length if ".decoder." in name else SOUND} for name in names}


# Any: onnx describes no types
def quantize_embedding(model: Any) -> None:
    """Look tokens up in the quantised table of the head, whose columns have a scale each.

    The float table is removed. Where head and embedding are not tied, the embedding stays in float.
    """
    from onnx import helper  # noqa: PLC0415  an optional extra

    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    lookups = [node for node in graph.node if node.op_type == "Gather" and f"{node.input[0]}_quantized" in weights]
    if not lookups:
        return
    (lookup,) = lookups
    table, tokens = lookup.input
    gathered = [f"{lookup.output[0]}_{part}" for part in PARTS]
    nodes = [
        helper.make_node("Gather", [f"{table}_{part}", tokens], [f"{lookup.output[0]}_{part}"], axis=axis)
        for part, axis in PARTS.items()
    ]
    nodes.append(helper.make_node("DequantizeLinear", gathered, list(lookup.output), axis=1))
    at = list(graph.node).index(lookup)
    del graph.node[at]
    for number, node in enumerate(nodes):
        graph.node.insert(at + number, node)
    graph.initializer.remove(weights[table])
