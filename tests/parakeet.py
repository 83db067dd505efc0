"""Tiny random Parakeets of transformers, and their blocks: networks with BatchNorms, convolutions and LSTMs."""

import torch
from torch import nn
from transformers import ParakeetCTCConfig, ParakeetForCTC, ParakeetForRNNT, ParakeetRNNTConfig

from eartune.model import Blocks

ENCODER = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
    "subsampling_conv_channels": 4, "num_mel_bins": 16, "layerdrop": 0.0, "dropout": 0.0, "attention_dropout": 0.0,
    "activation_dropout": 0.0, "dropout_positions": 0.0,
}  # fmt: skip
TARGETS = ("q_proj", "v_proj", "linear1", "pointwise_conv1")
CTC = Blocks("encoder", None, "encoder.layers", None, ("ctc_head",), TARGETS, {}, {})
RNNT = Blocks("encoder", "decoder", "encoder.layers", None, ("joint",), TARGETS, {}, {})


def tiny_ctc() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = ParakeetForCTC(ParakeetCTCConfig(vocab_size=20, pad_token_id=19, encoder_config=ENCODER))
    return network.eval()


def tiny_rnnt() -> nn.Module:
    torch.manual_seed(0)
    config = ParakeetRNNTConfig(
        vocab_size=20,
        blank_token_id=19,
        pad_token_id=18,
        decoder_hidden_size=16,
        num_decoder_layers=1,
        encoder_config=ENCODER,
    )
    network: nn.Module = ParakeetForRNNT(config)
    return network.eval()


def features(num_rows: int = 3) -> torch.Tensor:
    return torch.randn(num_rows, 64, 16, generator=torch.Generator().manual_seed(1))
