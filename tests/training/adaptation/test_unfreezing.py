"""What partial training opens: by names a family states, with decoder layers and without."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from eartune.config.partial import PartialSection
from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.model import Blocks, SpeechModel
from eartune.training.adaptation.listing import count_norms, count_parameters
from eartune.training.adaptation.unfreezing import Unfrozen, select_unfrozen
from tests.parakeet import CTC, RNNT, tiny_ctc, tiny_rnnt


@pytest.fixture
def model(tiny_model: Path) -> SpeechModel:
    return load(find(str(tiny_model)))


def select(network: nn.Module, blocks: Blocks, *, freeze_encoder: bool = False, **options: Any) -> Unfrozen:
    return select_unfrozen(network, PartialSection(**options), blocks, freeze_encoder=freeze_encoder)


def names(network: nn.Module, unfrozen: Unfrozen) -> set[str]:
    ids = {id(parameter) for parameter in unfrozen.parameters}
    return {name for name, parameter in network.named_parameters() if id(parameter) in ids}


def test_the_last_layers_are_those_nearest_to_the_output() -> None:
    network = tiny_ctc()
    assert select(network, CTC, unfreeze_encoder_last=2).modules == ("encoder.layers.1", "encoder.layers.2")
    assert select(network, CTC, unfreeze_encoder_last=3, unfreeze_head=True).modules == (
        "encoder.layers.0",
        "encoder.layers.1",
        "encoder.layers.2",
        "ctc_head",
    )


def test_norms_are_layer_norms_and_batch_norms() -> None:
    network = tiny_ctc()
    # five LayerNorms and the BatchNorm of each convolution, with weight and bias of 16 each
    per_layer = {f"norm_{kind}" for kind in ("feed_forward1", "self_att", "conv", "feed_forward2", "out")} | {
        "conv.norm"
    }
    found = select(network, CTC, train_norms=True)
    assert set(found.modules) == {f"encoder.layers.{number}.{name}" for number in range(3) for name in per_layer}
    assert sum(parameter.numel() for parameter in found.parameters) == 3 * 6 * 32
    assert count_norms(network).total == 3 * 6 * 32


def test_biases_are_those_of_relative_attention_and_lstm_too() -> None:
    network = tiny_rnnt()
    found = names(network, select(network, RNNT, train_bias=True))
    assert {"encoder.layers.0.self_attn.bias_u", "decoder.lstm.bias_hh_l0", "joint.head.bias"} <= found
    assert not [name for name in found if "weight" in name]
    assert not [name for name in names(network, select(network, RNNT, train_bias=True, freeze_encoder=True))
                if name.startswith("encoder.")]  # fmt: skip


def test_a_head_that_shares_its_weights_is_named_with_what_it_shares(model: SpeechModel) -> None:
    found = select(model.network, model.blocks, unfreeze_head=True)
    assert found.modules == ("proj_out", "model.decoder.embed_tokens")
    assert len(found.parameters) == 1
    assert len(found.notes) == 1
    assert not select(tiny_ctc(), CTC, unfreeze_head=True).notes


def test_sinusoids_are_never_trained(model: SpeechModel) -> None:
    found = select(model.network, model.blocks, unfreeze_encoder_last=2, train_norms=True, train_bias=True)
    assert "model.encoder.embed_positions.weight" not in names(model.network, found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unfreeze_encoder_last": 4}, "unfreeze_encoder_last: found 4, but the model has 3 layers; set at most 3"),
        ({"unfreeze_decoder_last": 1}, "unfreeze_decoder_last: the decoder of this model has no layers"),
    ],
)
def test_layers_that_are_not_there_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        select(tiny_ctc(), CTC, **options)


def test_all_wrong_numbers_are_reported_together(model: SpeechModel) -> None:
    with pytest.raises(InputError) as refused:
        select(model.network, model.blocks, unfreeze_encoder_last=3, unfreeze_decoder_last=9)
    assert "unfreeze_encoder_last: found 3" in str(refused.value)
    assert "unfreeze_decoder_last: found 9" in str(refused.value)


def test_a_model_in_which_nothing_is_left_to_train_is_refused() -> None:
    network = tiny_ctc()
    network.ctc_head.requires_grad_(False)  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no weights to train"):
        select(network, CTC, unfreeze_head=True)


def test_weights_are_counted_in_encoder_decoder_head_and_the_rest() -> None:
    network = tiny_rnnt()
    network.requires_grad_(False)
    network.joint.requires_grad_(True)  # type: ignore[union-attr]
    counts = {count.block: (count.total, count.trained) for count in count_parameters(network, RNNT)}
    # embedding 20 x 16, an LSTM of four gates, a projection
    decoder = 20 * 16 + 2 * (4 * 16 * 16 + 4 * 16) + 16 * 16 + 16
    assert counts["decoder"] == (decoder, 0)
    assert counts["head"] == (20 * 16 + 20, 20 * 16 + 20)
    assert counts["other"] == (16 * 16 + 16, 0)
    assert {count.block for count in count_parameters(tiny_ctc(), CTC)} == {"encoder", "head"}


@given(st.integers(0, 3), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_options_add_up(layers: int, head: bool, norms: bool, bias: bool, freeze_encoder: bool) -> None:
    network = tiny_ctc()
    patterns = {
        rf"encoder\.layers\.({'|'.join(str(2 - number) for number in range(layers))})\..*": layers > 0,
        r"ctc_head\..*": head,
        r".*\.norm_\w+\.(weight|bias)|.*conv\.norm\.(weight|bias)": norms,
        r".*\.bias(_\w+)?": bias,
    }
    wanted = [pattern for pattern, given_ in patterns.items() if given_]
    expected = {name for name, _ in network.named_parameters() if any(re.fullmatch(p, name) for p in wanted)}
    if freeze_encoder:
        expected = {name for name in expected if not name.startswith("encoder.")}
    options = {"unfreeze_encoder_last": layers, "unfreeze_head": head, "train_norms": norms, "train_bias": bias}
    try:
        found = names(network, select(network, CTC, freeze_encoder=freeze_encoder, **options))
    except InputError:
        found = set()
    assert found == expected
