"""ONNX graph of the FastConformer encoder, with the inputs of runtimes for NeMo models.

B batch, M mel bins, T frames, P positions of the encoder, D its width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# NeMo's names, which the runtimes expect
INPUTS = ("audio_signal", "length")
INPUT_AXES = {"audio_signal": {0: "batch", 2: "time"}, "length": {0: "batch"}}
# float16 cannot represent every integer position above 2048
KEPT_IN_FLOAT32 = ("encode_positions",)


class EncoderGraph(nn.Module):
    """Features [B, M, T] and their lengths [B] -> encoder outputs [B, P, D] and their lengths [B].

    The forward of transformers' encoder with integer lengths, as float16 would round them.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, audio_signal_BMT: torch.Tensor, length_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoder = self.encoder
        mask_BT = _up_to(length_B, audio_signal_BMT.shape[2])
        states_BPD = encoder.subsampling(audio_signal_BMT.transpose(1, 2), mask_BT) * encoder.input_scale
        for layer in encoder.subsampling.layers:
            length_B = encoder.subsampling._get_output_length(length_B, layer)
        valid_BP = _up_to(length_B, states_BPD.shape[1])
        mask_B1PP = (valid_BP[:, None, :] & valid_BP[:, :, None])[:, None]
        positions = encoder.encode_positions(states_BPD)
        for layer in encoder.layers:
            states_BPD = layer(states_BPD, attention_mask=mask_B1PP, position_embeddings=positions)
        return states_BPD, length_B


def _up_to(lengths_B: torch.Tensor, longest: int) -> torch.Tensor:
    return torch.arange(longest, device=lengths_B.device) < lengths_B[:, None]
