"""The graphs of an RNN-T or a TDT, written, and compared with torch.

B batch, M mel bins, T frames, P positions of the encoder, D its width, U tokens, L layers of the prediction network, H
its width, V tokens with the blank and, in a TDT, a score for each duration.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ParakeetForRNNT

from eartune.export.onnx_files import Quantization, largest_difference, run_graph, write_graph
from eartune.families._nemo.onnx import (
    INPUT_AXES,
    INPUTS,
    KEPT_IN_FLOAT32,
    difference_within,
    encoder_metadata,
    mask_of,
    probes,
    write_config,
)
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.onnx.graphs import (
    DecoderGraph,
    DecoderJointGraph,
    JoinerGraph,
    TransposedEncoderGraph,
)

ENCODER, DECODER_JOINT = "encoder-model.onnx", "decoder_joint-model.onnx"
DECODER, JOINER = "decoder.onnx", "joiner.onnx"
# NeMo's names of the prediction network's inputs and outputs
_TOKENS = ("targets", "target_length", "input_states_1", "input_states_2")
_ANSWERS = ("outputs", "prednet_lengths", "output_states_1", "output_states_2")
_STATE_AXES = {name: {1: "batch"} for name in (*_TOKENS[2:], *_ANSWERS[2:])}
_TOKEN_AXES = {"targets": {0: "batch", 1: "tokens"}, "target_length": {0: "batch"}, **_STATE_AXES}
_PROBE_TOKENS = 6


def write_transducer(
    model: ParakeetModel, network: ParakeetForRNNT, folder: Path, *, quantization: Quantization, num_tokens: int
) -> float:
    """Write the graphs and onnx-asr's config.json; return how far they are from torch's outputs, at most."""
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
    return max(_encoder_difference(model, network, folder), _decoder_difference(network, folder))


def _write_decoders(network: ParakeetForRNNT, folder: Path, quantization: Quantization) -> None:
    """Write the prediction network and the joint network, together and each on its own."""
    tokens = dict(zip(_TOKENS, _first_tokens(network, num_rows=2), strict=True))
    states_BDP = torch.zeros(2, network.config.encoder_config.hidden_size, 5)
    predicted_BHU = torch.zeros(2, network.decoder.lstm.hidden_size, _PROBE_TOKENS)
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


def _first_tokens(network: ParakeetForRNNT, *, num_rows: int) -> tuple[torch.Tensor, ...]:
    """Return fixed tokens, their number, and the states before the first, in the types that NeMo's graphs have."""
    generator = torch.Generator().manual_seed(0)
    tokens_BU = torch.randint(0, network.config.vocab_size, (num_rows, _PROBE_TOKENS), generator=generator)
    lengths_B = torch.full((num_rows,), _PROBE_TOKENS, dtype=torch.int32)
    lstm = network.decoder.lstm
    hidden_LBH, cell_LBH = torch.zeros(2, lstm.num_layers, num_rows, lstm.hidden_size)
    return tokens_BU.int(), lengths_B, hidden_LBH, cell_LBH


def _encoder_difference(model: ParakeetModel, network: ParakeetForRNNT, folder: Path) -> float:
    differences = []
    for features_BMT, length_B in probes(model):
        encoded = network.encoder(features_BMT.transpose(1, 2), attention_mask=mask_of(features_BMT, length_B))
        found = run_graph(folder / ENCODER, dict(zip(INPUTS, (features_BMT.numpy(), length_B.numpy()), strict=True)))
        states_BPD = found["outputs"].swapaxes(1, 2)
        differences.append(difference_within(states_BPD, encoded.last_hidden_state, encoded.attention_mask))
        lengths = {"encoded_lengths": encoded.attention_mask.sum(dim=1).numpy()}
        differences.append(largest_difference(found, lengths))
    return max(differences)


def _decoder_difference(network: ParakeetForRNNT, folder: Path) -> float:
    """Compare both ways through prediction and joint network with torch: all tokens at once, and one after another."""
    generator = torch.Generator().manual_seed(1)
    states_BPD = torch.randn(3, 4, network.config.encoder_config.hidden_size, generator=generator)
    inputs = dict(zip(_TOKENS, (value.numpy() for value in _first_tokens(network, num_rows=3)), strict=True))
    targets_BU = torch.from_numpy(inputs["targets"]).long()
    expected = network.joint(
        encoder_hidden_states=network.encoder_projector(states_BPD)[:, :, None],
        decoder_hidden_states=network.decoder(targets_BU)[:, None],
    )
    states = {"encoder_outputs": states_BPD.transpose(1, 2).numpy()}
    durations = list(getattr(network.config, "durations", ()))
    kept = [*range(network.config.vocab_size), *(network.config.vocab_size + duration for duration in durations)]
    differences = []
    at_once = run_graph(folder / DECODER_JOINT, states | inputs)["outputs"]
    differences.append(largest_difference({"outputs": at_once[..., kept]}, {"outputs": expected.numpy()}))
    for number in range(_PROBE_TOKENS):
        step = inputs | {"targets": inputs["targets"][:, number : number + 1]}
        predicted = run_graph(folder / DECODER, step)
        inputs |= {"input_states_1": predicted["output_states_1"], "input_states_2": predicted["output_states_2"]}
        joined = run_graph(folder / JOINER, states | {"decoder_outputs": predicted["outputs"]})["outputs"]
        wanted = {"outputs": expected[:, :, number : number + 1].numpy()}
        differences.append(largest_difference({"outputs": joined[..., kept]}, wanted))
    return max(differences)
