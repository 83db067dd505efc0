"""Learning rates that fall from layer to layer: depths by hand, groups as transformers makes them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import Trainer, TrainingArguments

from eartune.families.whisper.load import find, load
from eartune.model import Blocks
from eartune.training.layer_rates import depths, slow_down_lower_layers
from tests.parakeet import CTC, RNNT, tiny_ctc, tiny_rnnt


def by_depth(network: nn.Module, blocks: Blocks) -> dict[str, int]:
    return {name.removeprefix("base_model.model."): depth for name, depth in depths(network, blocks).items()}


def test_whisper_falls_from_the_head_over_the_decoder_to_the_convolutions(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)))
    expected = {
        "model.decoder.embed_tokens.weight": 0,  # the head's own weights
        "model.decoder.layer_norm.weight": 0,
        "model.decoder.layers.1.fc1.weight": 0,
        "model.decoder.layers.0.fc1.weight": 1,
        "model.decoder.embed_positions.weight": 2,
        "model.encoder.layer_norm.weight": 2,
        "model.encoder.layers.1.fc1.weight": 2,
        "model.encoder.layers.0.fc1.weight": 3,
        "model.encoder.conv1.weight": 4,
    }
    found = by_depth(model.network, model.blocks)
    assert {name: found[name] for name in expected} == expected
    adapted = get_peft_model(model.network, LoraConfig(target_modules=["fc1"], modules_to_save=["layers.1.fc2"]))
    found = by_depth(adapted, model.blocks)
    assert found["model.decoder.layers.0.fc1.lora_A.default.weight"] == 1
    assert found["model.encoder.layers.0.fc1.lora_B.default.weight"] == 3
    assert found["model.decoder.layers.1.fc2.modules_to_save.default.weight"] == 0


def test_without_decoder_layers_the_encoder_begins_at_the_top() -> None:
    ctc, rnnt = by_depth(tiny_ctc(), CTC), by_depth(tiny_rnnt(), RNNT)
    assert ctc["ctc_head.weight"] == rnnt["joint.head.weight"] == rnnt["decoder.lstm.weight_ih_l0"] == 0
    for found in (ctc, rnnt):
        assert [found[f"encoder.layers.{i}.conv.norm.weight"] for i in range(3)] == [2, 1, 0]
        assert found["encoder.subsampling.layers.0.weight"] == found["encoder.subsampling.linear.weight"] == 3


def optimizer_of(network: nn.Module, folder: Path, **options: Any) -> torch.optim.Optimizer:
    """Make the optimiser that transformers makes."""
    arguments = TrainingArguments(str(folder), learning_rate=1e-2, weight_decay=0.1, use_cpu=True, **options)
    made: torch.optim.Optimizer = Trainer(network, arguments).create_optimizer()
    return made


@pytest.mark.parametrize("optim", ["adamw_torch_fused", "adafactor"])
def test_every_parameter_has_the_rate_of_its_depth_and_its_weight_decay(optim: str, tmp_path: Path) -> None:
    network = tiny_ctc()
    optimizer = optimizer_of(network, tmp_path, optim=optim)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    note = slow_down_lower_layers(optimizer, network, CTC, 0.5)
    assert note.startswith("layerwise_lr_decay 0.5: learning rate 0.01 in the highest layer trained, 0.00125 in the")
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found) == len(decays)
    for name, depth in depths(network, CTC).items():
        parameter = network.get_parameter(name)
        assert found[id(parameter)]["lr"] == pytest.approx(1e-2 * 0.5**depth)
        assert found[id(parameter)]["weight_decay"] == decays[id(parameter)]
    assert set(decays.values()) == {0.0, 0.1}


def test_the_highest_layer_that_is_trained_has_the_full_rate(tmp_path: Path) -> None:
    network = tiny_ctc()
    network.requires_grad_(False)
    for number in (0, 1):
        network.encoder.layers[number].requires_grad_(True)  # type: ignore[union-attr, index, operator]
    optimizer = optimizer_of(network, tmp_path)
    slow_down_lower_layers(optimizer, network, CTC, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {1e-2, 5e-3}
    assert optimizer.param_groups[0]["lr"] == 1e-2
