"""The graphs of a Canary, traced and written with onnx-asr's names.

B batch, M mel bins, T frames, P positions of the encoder, U tokens, C tokens read before, D width of the decoder, L its
layers, V tokens.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CanaryForConditionalGeneration

from eartune.export.onnx_files import Quantization, write_graph
from eartune.families._nemo.onnx import INPUT_AXES, INPUTS, KEPT_IN_FLOAT32, probes
from eartune.families.canary.model import CanaryModel
from eartune.families.canary.onnx.modules import CanaryEncoderGraph, DecoderGraph

ENCODER, DECODER = "encoder-model.onnx", "decoder-model.onnx"
_DECODER_INPUTS = ("input_ids", "encoder_embeddings", "encoder_mask", "decoder_mems")
_DECODER_AXES = {
    "input_ids": {0: "batch", 1: "tokens"},
    "encoder_embeddings": {0: "batch", 1: "positions"},
    "encoder_mask": {0: "batch", 1: "positions"},
    "decoder_mems": {1: "batch", 2: "past"},
    "logits": {0: "batch", 1: "tokens"},
    "decoder_hidden_states": {1: "batch", 2: "all"},
}


def write_graphs(
    model: CanaryModel,
    network: CanaryForConditionalGeneration,
    folder: Path,
    quantization: Quantization,
    num_tokens: int,
) -> None:
    """Write encoder-model.onnx and decoder-model.onnx, each with its weights beside it."""
    features_BMT, length_B = next(probes(model))
    encoder, decoder = CanaryEncoderGraph(network), DecoderGraph(network, num_tokens)
    write_graph(
        encoder,
        folder / ENCODER,
        inputs=dict(zip(INPUTS, (features_BMT, length_B), strict=True)),
        outputs=["encoder_embeddings", "encoded_lengths", "encoder_mask"],
        dynamic=INPUT_AXES
        | {name: {0: "batch", 1: "positions"} for name in ("encoder_embeddings", "encoder_mask")}
        | {"encoded_lengths": {0: "batch"}},
        quantization=quantization,
        kept_in_float32=KEPT_IN_FLOAT32,
        weights_beside=True,
    )
    embeddings_BPE, _, mask_BP = encoder(features_BMT, length_B)
    past = torch.zeros(2 * decoder.num_layers, 2, 3, decoder.width)
    tokens_BU = torch.zeros(2, 4, dtype=torch.long)
    write_graph(
        decoder,
        folder / DECODER,
        inputs=dict(zip(_DECODER_INPUTS, (tokens_BU, embeddings_BPE, mask_BP, past), strict=True)),
        outputs=["logits", "decoder_hidden_states"],
        dynamic=_DECODER_AXES,
        quantization=quantization,
        weights_beside=True,
    )
