"""The graphs of CTC models, RNN-Ts and TDTs, traced and written with NeMo's names.

B batch, M mel bins, T frames, P positions of the encoder, D its width, U tokens, L layers of the prediction network, H
its width, V tokens with the blank and, in a TDT, a score for each duration.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ParakeetForCTC, ParakeetForRNNT

from eartune.export.onnx_files import Quantization, write_graph
from eartune.families._nemo.onnx import INPUT_AXES, INPUTS, KEPT_IN_FLOAT32, encoder_metadata, probes, write_config
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.onnx.modules import (
    CtcGraph,
    DecoderGraph,
    DecoderJointGraph,
    JoinerGraph,
    TransposedEncoderGraph,
)

MODEL = "model.onnx"
ENCODER, DECODER_JOINT = "encoder-model.onnx", "decoder_joint-model.onnx"
DECODER, JOINER = "decoder.onnx", "joiner.onnx"
# NeMo's names of the prediction network's inputs and outputs
TOKENS = ("targets", "target_length", "input_states_1", "input_states_2")
_ANSWERS = ("outputs", "prednet_lengths", "output_states_1", "output_states_2")
_STATE_AXES = {name: {1: "batch"} for name in (*TOKENS[2:], *_ANSWERS[2:])}
_TOKEN_AXES = {"targets": {0: "batch", 1: "tokens"}, "target_length": {0: "batch"}, **_STATE_AXES}
PROBE_TOKENS = 6


def write_ctc(
    model: ParakeetModel, network: ParakeetForCTC, folder: Path, *, quantization: Quantization, num_tokens: int
) -> None:
    """Write model.onnx and onnx-asr's config.json."""
    write_graph(
        CtcGraph(network),
        folder / MODEL,
        inputs=dict(zip(INPUTS, next(probes(model)), strict=True)),
        outputs=["logprobs"],
        dynamic=INPUT_AXES | {"logprobs": {0: "batch", 1: "positions"}},
        quantization=quantization,
        kept_in_float32=KEPT_IN_FLOAT32,
        metadata=encoder_metadata(model, model_type="EncDecCTCModelBPE", vocab_size=num_tokens),
    )
    write_config(model, folder, model_type="nemo-conformer-ctc")


def write_transducer(
    model: ParakeetModel, network: ParakeetForRNNT, folder: Path, *, quantization: Quantization, num_tokens: int
) -> None:
    """Write the graphs and onnx-asr's config.json."""
    tdt = hasattr(network.config, "durations")
    metadata = encoder_metadata(model, model_type="EncDecRNNTBPEModel", vocab_size=num_tokens) | {
        "pred_rnn_layers": network.decoder.lstm.num_layers,
        "pred_hidden": network.decoder.lstm.hidden_size,
        # where sherpa-onnx looks for these letters
        "url": "tdt" if tdt else "rnnt",
    }
    write_graph(
        TransposedEncoderGraph(network),
        folder / ENCODER,
        inputs=dict(zip(INPUTS, next(probes(model)), strict=True)),
        outputs=["outputs", "encoded_lengths"],
        dynamic=INPUT_AXES | {"outputs": {0: "batch", 2: "positions"}, "encoded_lengths": {0: "batch"}},
        quantization=quantization,
        kept_in_float32=KEPT_IN_FLOAT32,
        metadata=metadata,
    )
    _write_decoders(network, folder, quantization)
    write_config(
        model,
        folder,
        model_type="nemo-conformer-tdt" if tdt else "nemo-conformer-rnnt",
        max_tokens_per_step=int(network.max_symbols_per_step),
    )


def _write_decoders(network: ParakeetForRNNT, folder: Path, quantization: Quantization) -> None:
    """Write the prediction network and the joint network, together and each on its own."""
    tokens = dict(zip(TOKENS, first_tokens(network, num_rows=2), strict=True))
    states_BDP = torch.zeros(2, network.config.encoder_config.hidden_size, 5)
    predicted_BHU = torch.zeros(2, network.decoder.lstm.hidden_size, PROBE_TOKENS)
    outputs = {"outputs": {0: "batch", 1: "positions", 2: "tokens"}}
    states = {"encoder_outputs": {0: "batch", 2: "positions"}}
    write_graph(
        DecoderJointGraph(network),
        folder / DECODER_JOINT,
        inputs={"encoder_outputs": states_BDP, **tokens},
        outputs=_ANSWERS,
        dynamic=_TOKEN_AXES | states | outputs,
        quantization=quantization,
    )
    write_graph(
        DecoderGraph(network),
        folder / DECODER,
        inputs=tokens,
        outputs=_ANSWERS,
        dynamic=_TOKEN_AXES | {"outputs": {0: "batch", 2: "tokens"}},
        quantization=quantization,
    )
    write_graph(
        JoinerGraph(network),
        folder / JOINER,
        inputs={"encoder_outputs": states_BDP, "decoder_outputs": predicted_BHU},
        outputs=["outputs"],
        dynamic=states | outputs | {"decoder_outputs": {0: "batch", 2: "tokens"}},
        quantization=quantization,
    )


def first_tokens(network: ParakeetForRNNT, *, num_rows: int) -> tuple[torch.Tensor, ...]:
    """Return fixed tokens, their number, and the states before the first, in the types that NeMo's graphs have."""
    generator = torch.Generator().manual_seed(0)
    tokens_BU = torch.randint(0, network.config.vocab_size, (num_rows, PROBE_TOKENS), generator=generator)
    lengths_B = torch.full((num_rows,), PROBE_TOKENS, dtype=torch.int32)
    lstm = network.decoder.lstm
    hidden_LBH, cell_LBH = torch.zeros(2, lstm.num_layers, num_rows, lstm.hidden_size)
    return tokens_BU.int(), lengths_B, hidden_LBH, cell_LBH
