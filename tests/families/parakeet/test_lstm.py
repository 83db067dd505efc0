"""The prediction network under bf16 on any processor: the same run also as on one without AVX-512."""

import pytest
import torch
from torch import nn

from eartune.families.parakeet.greedy import decode_transducer
from eartune.families.parakeet.network import PredictionLSTM, prepare_network
from tests.parakeet import features, tiny_rnnt

pytestmark = pytest.mark.any_processor
# bf16 has eight bits of fraction, and a few roundings add up
TOLERANCE = 0.05


def bf16() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def lstm() -> nn.LSTM:
    torch.manual_seed(0)
    return PredictionLSTM(8, 8, num_layers=2, batch_first=True)


@pytest.mark.parametrize("has_memory", [False, True])
@torch.no_grad()
def test_an_lstm_under_autocast_is_that_of_float32_but_for_rounding(has_memory: bool) -> None:
    network, inputs_BUH = lstm(), torch.randn(3, 5, 8)
    memory = (torch.randn(2, 3, 8), torch.randn(2, 3, 8)) if has_memory else None
    expected, states = network(inputs_BUH, memory)
    with bf16():
        found, states_found = network(inputs_BUH, memory)
    assert found.float() == pytest.approx(expected, abs=TOLERANCE)
    for one, other in zip(states_found, states, strict=True):
        assert one.float() == pytest.approx(other, abs=TOLERANCE)


def test_gradients_under_autocast_are_those_of_float32_but_for_rounding() -> None:
    network, inputs_BUH = lstm(), torch.randn(3, 5, 8)
    network(inputs_BUH)[0].square().sum().backward()
    expected = {name: weight.grad for name, weight in network.named_parameters()}
    network.zero_grad()
    with bf16():
        network(inputs_BUH)[0].float().square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad == pytest.approx(expected[name], abs=TOLERANCE * float(expected[name].abs().max()))


@torch.no_grad()
def test_weights_in_bf16_need_no_autocast() -> None:
    network, inputs_BUH = lstm(), torch.randn(3, 5, 8)
    expected = network(inputs_BUH)[0]
    assert network.bfloat16()(inputs_BUH.bfloat16())[0].float() == pytest.approx(expected, abs=TOLERANCE)


def test_a_transducer_decodes_under_autocast() -> None:
    network = tiny_rnnt()
    prepare_network(network)
    with torch.no_grad(), bf16():
        encoded = network.encoder(input_features=features())
        states = network.encoder_projector(encoded.last_hidden_state)
        decoded = decode_transducer(network, states, torch.full((3,), states.shape[1]))
    assert len(decoded) == 3
    assert isinstance(network.decoder.lstm, PredictionLSTM)
