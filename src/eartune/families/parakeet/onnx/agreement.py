"""The graphs in onnxruntime beside the network in torch.

B batch, M mel bins, T frames, P positions of the encoder, D its width, U tokens, V tokens with the blank.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ParakeetForCTC, ParakeetForRNNT

from eartune.export.onnx_files import largest_difference, run_graph
from eartune.families._nemo.onnx import INPUTS, difference_within, probes
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.onnx.graphs import (
    DECODER,
    DECODER_JOINT,
    ENCODER,
    JOINER,
    MODEL,
    PROBE_TOKENS,
    TOKENS,
    first_tokens,
)
from eartune.ops.widths import within


def measure_agreement(model: ParakeetModel, network: ParakeetForCTC | ParakeetForRNNT, folder: Path) -> float:
    """Return the largest difference between the outputs of a folder's graphs and the network's."""
    if isinstance(network, ParakeetForCTC):
        return _ctc_difference(model, network, folder)
    return max(_encoder_difference(model, network, folder), _decoder_difference(network, folder))


def _ctc_difference(model: ParakeetModel, network: ParakeetForCTC, folder: Path) -> float:
    differences = []
    for features_BMT, length_B in probes(model):
        encoded = network.encoder(features_BMT.transpose(1, 2), attention_mask=within(length_B, features_BMT.shape[2]))
        expected_BPV = network.ctc_head(encoded.last_hidden_state).log_softmax(dim=-1)
        found = run_graph(folder / MODEL, dict(zip(INPUTS, (features_BMT.numpy(), length_B.numpy()), strict=True)))
        differences.append(difference_within(found["logprobs"], expected_BPV, encoded.attention_mask))
    return max(differences)


def _encoder_difference(model: ParakeetModel, network: ParakeetForRNNT, folder: Path) -> float:
    differences = []
    for features_BMT, length_B in probes(model):
        encoded = network.encoder(features_BMT.transpose(1, 2), attention_mask=within(length_B, features_BMT.shape[2]))
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
    inputs = dict(zip(TOKENS, (value.numpy() for value in first_tokens(network, num_rows=3)), strict=True))
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
    for number in range(PROBE_TOKENS):
        step = inputs | {"targets": inputs["targets"][:, number : number + 1]}
        predicted = run_graph(folder / DECODER, step)
        inputs |= {"input_states_1": predicted["output_states_1"], "input_states_2": predicted["output_states_2"]}
        joined = run_graph(folder / JOINER, states | {"decoder_outputs": predicted["outputs"]})["outputs"]
        wanted = {"outputs": expected[:, :, number : number + 1].numpy()}
        differences.append(largest_difference({"outputs": joined[..., kept]}, wanted))
    return max(differences)
