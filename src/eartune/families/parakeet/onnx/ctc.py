"""The graph of a CTC model: model.onnx.

B batch, M mel bins, T frames, P positions of the encoder, D its width, V tokens with the blank.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import ParakeetForCTC

from eartune.export.onnx_files import Quantization, run_graph, write_graph
from eartune.families._nemo.onnx import (
    INPUT_AXES,
    INPUTS,
    KEPT_IN_FLOAT32,
    EncoderGraph,
    difference_within,
    encoder_metadata,
    mask_of,
    probes,
    write_config,
)
from eartune.families.parakeet.model import ParakeetModel

MODEL = "model.onnx"


class _CtcGraph(nn.Module):
    """Features [B, M, T] and their lengths -> log probabilities [B, P, V]."""

    def __init__(self, network: ParakeetForCTC) -> None:
        super().__init__()
        self.encoder, self.head = EncoderGraph(network.encoder), network.ctc_head

    def forward(self, audio_signal_BMT: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
        states_BPD, _ = self.encoder(audio_signal_BMT, length_B)
        log_probs_BPV: torch.Tensor = self.head(states_BPD).log_softmax(dim=-1)
        return log_probs_BPV


def write_ctc(
    model: ParakeetModel, network: ParakeetForCTC, folder: Path, *, quantization: Quantization, num_tokens: int
) -> float:
    """Write the graph and onnx-asr's config.json; return how far it is from torch's outputs, at most."""
    batches = list(probes(model))
    write_graph(
        _CtcGraph(network),
        folder / MODEL,
        inputs=dict(zip(INPUTS, batches[0], strict=True)),
        outputs=["logprobs"],
        dynamic=INPUT_AXES | {"logprobs": {0: "batch", 1: "positions"}},
        quantization=quantization,
        kept_in_float32=KEPT_IN_FLOAT32,
        metadata=encoder_metadata(model, model_type="EncDecCTCModelBPE", vocab_size=num_tokens),
    )
    write_config(model, folder, model_type="nemo-conformer-ctc")
    differences = []
    for features_BMT, length_B in batches:
        encoded = network.encoder(features_BMT.transpose(1, 2), attention_mask=mask_of(features_BMT, length_B))
        expected_BPV = network.ctc_head(encoded.last_hidden_state).log_softmax(dim=-1)
        found = run_graph(folder / MODEL, dict(zip(INPUTS, (features_BMT.numpy(), length_B.numpy()), strict=True)))
        differences.append(difference_within(found["logprobs"], expected_BPV, encoded.attention_mask))
    return max(differences)
