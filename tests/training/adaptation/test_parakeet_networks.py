"""Methods on Parakeet's networks: BatchNorms that must not move, pointwise convolutions, LSTMs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from eartune.config.adapter import AdapterSection
from eartune.config.partial import PartialSection
from eartune.errors import InputError
from eartune.model import Blocks
from eartune.training.adaptation import adapter_files
from eartune.training.adaptation.adapters import attach, freeze_encoder, lora_config
from eartune.training.adaptation.targets import resolve_targets
from eartune.training.adaptation.trainable import fixed_batch_norms
from eartune.training.adaptation.unfreezing import select_unfrozen
from eartune.training.loss import SpeechLoss
from tests.parakeet import CTC, RNNT, TARGETS, features, tiny_ctc, tiny_rnnt

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass
class Held:
    """The part of a SpeechModel that SpeechLoss looks at in training mode."""

    network: nn.Module
    blocks: Blocks = CTC


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {n: v.clone() for n, v in network.state_dict().items() if n.rpartition(".")[2] in STATISTICS}


def take_steps(network: nn.Module, *, all_weights_trained: bool) -> None:
    fixed = fixed_batch_norms(network, all_weights_trained=all_weights_trained)
    loss = SpeechLoss(Held(network), fixed_norms=fixed)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        loss.train()
        optimizer.zero_grad()
        torch.autograd.backward(network(input_features=features()).logits.square().mean())
        optimizer.step()
    assert network.training
    network.eval()


@pytest.mark.parametrize("options", [{"unfreeze_encoder_last": 1}, {"train_norms": True}, {"unfreeze_head": True}])
def test_statistics_stay_in_partial_training_even_of_norms_that_are_trained(options: dict[str, Any]) -> None:
    network = tiny_ctc()
    before, weight = statistics(network), network.encoder.layers[2].conv.norm.weight.detach().clone()  # type: ignore[union-attr, index]
    unfrozen = select_unfrozen(network, PartialSection(**options), CTC, freeze_encoder=False)
    network.requires_grad_(False)
    for parameter in unfrozen.parameters:
        parameter.requires_grad_(True)
    take_steps(network, all_weights_trained=False)
    assert all(torch.equal(value, before[name]) for name, value in statistics(network).items())
    moved = not torch.equal(network.encoder.layers[2].conv.norm.weight, weight)  # type: ignore[union-attr, index, arg-type]
    assert moved == ("unfreeze_head" not in options)


def test_statistics_move_where_all_weights_are_trained_but_not_in_a_frozen_encoder() -> None:
    network = tiny_ctc()
    before = statistics(network)
    assert before
    take_steps(network, all_weights_trained=True)
    assert all(not torch.equal(value, before[name]) for name, value in statistics(network).items())
    frozen = tiny_ctc()
    freeze_encoder(frozen, CTC)
    take_steps(frozen, all_weights_trained=True)
    assert all(torch.equal(value, before[name]) for name, value in statistics(frozen).items())


ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "linear pissa": {"init_lora_weights": "pissa", "target_modules": ["q_proj", "linear1"]},
    "gaussian": {"init_lora_weights": "gaussian"},
    "head": {"target_modules": ["q_proj", "ctc_head"]},
    "batch norm saved": {"modules_to_save": ["conv.norm"]},
    "biases": {"bias": "all"},
}


@pytest.mark.parametrize("case", ADAPTERS)
@pytest.mark.parametrize("partial", [{}, {"unfreeze_encoder_last": 1}], ids=["lora", "hybrid"])
def test_adapters_beside_batch_norms_and_on_pointwise_convolutions_fit_the_published_base(
    case: str, partial: dict[str, Any], tmp_path: Path
) -> None:
    """Attached, trained, saved, loaded onto a fresh network and merged: always the same answers."""
    network = tiny_ctc()
    with torch.no_grad():
        untuned = network(input_features=features()).logits
    adapter = AdapterSection.model_validate({"r": 4, **ADAPTERS[case]})
    unfrozen = adapter_files.NOTHING_UNFROZEN
    if partial:
        adapter = adapter.model_copy(update={"modules_to_save": None})
        unfrozen = select_unfrozen(network, PartialSection(**partial), CTC, freeze_encoder=False)
    targets = resolve_targets(network, adapter, CTC, freeze_encoder=False, in_full=unfrozen.modules)
    config = lora_config(adapter, targets)
    adapted = attach(network, config, sample_batches=lambda **_: [], loss=lambda _: torch.zeros(()))
    initial = adapter_files.adapter_weights(adapted) if "pissa" in case else None
    for parameter in unfrozen.parameters:
        parameter.requires_grad_(True)
    take_steps(adapted, all_weights_trained=False)
    with torch.no_grad():
        tuned = adapted(input_features=features()).logits
    assert (tuned - untuned).abs().max() > 1e-3
    adapter_files.save_adapter(adapted, tmp_path, initial=initial, unfrozen=unfrozen)
    loaded = adapter_files.load_adapter(tiny_ctc(), tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(input_features=features()).logits, tuned, atol=1e-4, rtol=0)
        plain = adapter_files.merge(loaded).eval()
        torch.testing.assert_close(plain(input_features=features()).logits, tuned, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"init_lora_weights": "pissa", "target_modules": ["q_proj", "pointwise_conv1"]},
            r"init_lora_weights: pissa is for linear layers, and encoder\.layers\.0\.conv\.pointwise_conv1 is a Conv1d",
        ),
        ({"init_lora_weights": "lora_ga", "target_modules": ["pointwise_conv2"]}, "lora_ga is for linear layers"),
        ({"use_dora": True, "target_modules": ["ctc_head"]}, r"use_dora: ctc_head \(ParakeetEncoderCTCHead\)"),
    ],
)
def test_what_a_convolution_cannot_have_is_refused_by_its_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_targets(tiny_ctc(), AdapterSection.model_validate(options), CTC, freeze_encoder=False)


def test_what_is_excluded_may_be_a_convolution() -> None:
    options = {"init_lora_weights": "pissa", "exclude_modules": ["pointwise_conv1"]}
    found = resolve_targets(tiny_ctc(), AdapterSection.model_validate(options), CTC, freeze_encoder=False)
    assert not [name for name in found.matched if "conv" in name]


def test_a_depthwise_convolution_is_refused_in_peft_s_own_words() -> None:
    network, adapter = tiny_ctc(), AdapterSection.model_validate({"r": 4, "target_modules": ["depthwise_conv"]})
    config = lora_config(adapter, resolve_targets(network, adapter, CTC, freeze_encoder=False))
    with pytest.raises(InputError, match="rank is divisible by groups"):
        attach(network, config, sample_batches=lambda **_: [], loss=lambda _: torch.zeros(()))


def test_an_lstm_is_trained_in_full_and_saved_with_the_adapter(tmp_path: Path) -> None:
    inputs = {"input_features": features(), "decoder_input_ids": torch.tensor([[19, 1, 2]] * 3)}
    network = tiny_rnnt()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    adapter = AdapterSection.model_validate({"r": 4, "modules_to_save": ["decoder.lstm", "joint"]})
    config = lora_config(adapter, resolve_targets(network, adapter, RNNT, freeze_encoder=False))
    adapted = attach(network, config, sample_batches=lambda **_: [], loss=lambda _: torch.zeros(()))
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(adapted(**inputs).logits.square().mean())
        optimizer.step()
    with torch.no_grad():
        tuned = adapted(**inputs).logits
    adapter_files.save_adapter(adapted, tmp_path, initial=None)
    loaded = adapter_files.load_adapter(tiny_rnnt(), tmp_path)
    plain = adapter_files.merge(loaded).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(**inputs).logits, tuned, atol=1e-4, rtol=0)
    after = plain.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    trained = {name for name in before if name.startswith(("decoder.lstm.", "joint."))}
    adapted_ones = {f"{name}.weight" for name in dict(plain.named_modules()) if name.endswith(TARGETS)}
    assert changed == trained | adapted_ones
