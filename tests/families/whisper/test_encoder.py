"""The encoder for short windows against transformers' own."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import WhisperForConditionalGeneration

from eartune.families.whisper.load import find, load
from eartune.model import Network


@pytest.fixture(scope="module")
def network(tiny_model: Path) -> Network:
    return load(find(str(tiny_model))).network


@pytest.fixture(scope="module")
def stock(network: Network) -> WhisperForConditionalGeneration:
    model = WhisperForConditionalGeneration(network.config).eval()
    model.load_state_dict(network.state_dict())
    return model


def features(num_frames: int, network: Network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(num_frames)
    return torch.randn(2, network.config.num_mel_bins, num_frames, generator=generator)


def test_a_stock_window_is_encoded_as_transformers_does(
    network: Network, stock: WhisperForConditionalGeneration
) -> None:
    window = features(3000, network)
    with torch.no_grad():
        found = network.model.encoder(window).last_hidden_state
        expected = stock.model.encoder(window).last_hidden_state
    assert torch.equal(found, expected)


@pytest.mark.parametrize("num_frames", [2, 64, 500, 2998])
def test_a_short_window_is_encoded_as_a_model_built_for_it_does(
    network: Network, stock: WhisperForConditionalGeneration, num_frames: int
) -> None:
    window = features(num_frames, network)
    encoder = stock.model.encoder
    positions, wanted = encoder.embed_positions, encoder.config.max_source_positions
    encoder.embed_positions = nn.Embedding.from_pretrained(positions.weight[: num_frames // 2])
    encoder.config.max_source_positions = num_frames // 2
    try:
        with torch.no_grad():
            expected = encoder(window).last_hidden_state
    finally:
        encoder.embed_positions, encoder.config.max_source_positions = positions, wanted
    with torch.no_grad():
        found = network.model.encoder(window).last_hidden_state
    assert found.shape[1] == num_frames // 2
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_frozen_encoder_keeps_no_graph(tiny_model: Path) -> None:
    network = load(find(str(tiny_model))).network
    window = features(100, network).requires_grad_()
    assert network.model.encoder(window).last_hidden_state.requires_grad
    network.model.encoder.requires_grad_(False)
    assert not network.model.encoder(window).last_hidden_state.requires_grad
