"""Adapters attached, trained a little, saved, loaded onto the published base, and merged: always the same answers."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel

from eartune.config.adapter import AdapterSection
from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.model import SpeechModel
from eartune.training.adaptation import adapter_files
from eartune.training.adaptation.adapters import attach, changes_base, freeze_encoder, lora_config
from eartune.training.adaptation.listing import count_parameters
from eartune.training.adaptation.targets import resolve_targets

INITIALISATIONS = [True, "gaussian", "pissa", "pissa_niter_4", "olora", "orthogonal", "eva", "corda", "lora_ga", "mica"]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"decoder.layers.0.fc1": 64}},
    "rslora and patterns": {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 64}},
    "biases": {"bias": "all"},
    "norms saved": {"modules_to_save": ["encoder_attn_layer_norm"]},
    "decoder only": {"target_modules": [r".*decoder.*\.(q_proj|v_proj)"]},
    "one layer": {"layers_to_transform": [0], "layers_pattern": ["layers"]},
    "all linear": {"target_modules": ["all-linear"]},
}


@pytest.fixture
def model(tiny_model: Path) -> SpeechModel:
    return load(find(str(tiny_model)), language="en")


def batches(model: SpeechModel, *, batch_size: int = 2) -> Iterable[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    for _ in range(2):
        probe = model.probe_inputs()
        labels = torch.randint(0, 1000, probe["decoder_input_ids"].shape, generator=generator)
        whole = {**probe, "labels": labels}
        for row in range(0, len(labels), batch_size):
            yield {name: value[row : row + batch_size] for name, value in whole.items()}


def loss(network: torch.nn.Module, batch: Any) -> torch.Tensor:
    logits = network(**{n: v for n, v in batch.items() if n != "labels"}).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())


def trained(model: SpeechModel, options: dict[str, Any]) -> tuple[PeftModel, adapter_files.Weights | None]:
    """Attach an adapter and take three large steps."""
    torch.manual_seed(1)
    adapter = AdapterSection.model_validate({"r": 4, "lora_alpha": 8, **options})
    targets = resolve_targets(model.network, adapter, model.blocks, freeze_encoder=False)
    config = lora_config(adapter, targets)
    adapted = attach(model.network, config, sample_batches=partial(batches, model), loss=partial(loss, model.network))
    initial = adapter_files.adapter_weights(adapted) if changes_base(config) else None
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    for batch in [*batches(model), *batches(model)][:3]:
        optimizer.zero_grad()
        torch.autograd.backward(loss(adapted, batch))
        optimizer.step()
    return adapted.eval(), initial


@torch.no_grad()
def logits(network: torch.nn.Module, model: SpeechModel) -> torch.Tensor:
    return network(**model.probe_inputs()).logits


def check_saved_loaded_merged(tiny_model: Path, model: SpeechModel, options: dict[str, Any], folder: Path) -> None:
    untuned = logits(model.network.eval(), model)
    adapted, initial = trained(model, options)
    tuned = logits(adapted, model)
    assert (tuned - untuned).abs().max() > 1e-2, "training changed nothing, so nothing is tested"
    adapter_files.save_adapter(adapted, folder, initial=initial)

    fresh = load(find(str(tiny_model)), language="en")
    loaded = adapter_files.load_adapter(fresh.network, folder)
    torch.testing.assert_close(logits(loaded.eval(), fresh), tuned, atol=1e-4, rtol=0)
    plain = adapter_files.merge(loaded)
    assert not any("lora" in name for name, _ in plain.named_modules())
    torch.testing.assert_close(logits(plain, fresh), tuned, atol=1e-4, rtol=0)


@pytest.mark.parametrize("initialisation", INITIALISATIONS, ids=str)
def test_every_initialisation_survives_saving_loading_and_merging(
    tiny_model: Path, model: SpeechModel, initialisation: bool | str, tmp_path: Path
) -> None:
    check_saved_loaded_merged(tiny_model, model, {"init_lora_weights": initialisation}, tmp_path)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("initialisation", [True, "pissa"], ids=str)
def test_every_variant_survives_saving_loading_and_merging(
    tiny_model: Path, model: SpeechModel, initialisation: bool | str, variant: str, tmp_path: Path
) -> None:
    check_saved_loaded_merged(tiny_model, model, {"init_lora_weights": initialisation, **VARIANTS[variant]}, tmp_path)


def test_lora_bias_is_merged_where_the_layers_have_biases(tiny_model: Path, model: SpeechModel, tmp_path: Path) -> None:
    options = {"lora_bias": True, "target_modules": ["q_proj", "v_proj", "fc1"]}
    check_saved_loaded_merged(tiny_model, model, options, tmp_path)


def test_lora_bias_on_a_layer_without_bias_is_refused_before_training(model: SpeechModel) -> None:
    with pytest.raises(InputError, match=r"lora_bias: .*k_proj.* no bias"):
        trained(model, {"lora_bias": True})


def test_an_adapter_of_another_size_is_refused(model: SpeechModel, tiny_english_model: Path, tmp_path: Path) -> None:
    adapted, _ = trained(model, {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True})
    adapter_files.save_adapter(adapted, tmp_path, initial=None)
    other = load(find(str(tiny_english_model)))
    with pytest.raises(InputError, match="does not fit its base model"):
        adapter_files.load_adapter(other.network, tmp_path)


def test_every_field_of_lora_config_is_an_option() -> None:
    internal = {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"}
    fields = set(LoraConfig.__dataclass_fields__) - internal - {"inference_mode"}
    assert fields <= set(AdapterSection.model_fields), fields - set(AdapterSection.model_fields)


def test_peft_speaks_for_itself_where_options_do_not_fit(model: SpeechModel) -> None:
    with pytest.raises(InputError, match="adapter: PEFT"):
        trained(model, {"init_lora_weights": "no_such_method"})


def test_frozen_and_trained_parameters_are_counted_by_hand(model: SpeechModel) -> None:
    freeze_encoder(model.network, model.blocks)
    counts = {count.block: count for count in count_parameters(model.network, model.blocks)}
    assert counts["encoder"].trained == 0
    # positions and the two convolutions of Whisper's encoder stand beside its two layers
    layer = 4 * 32 * 32 + 3 * 32 + 2 * (32 * 128) + 128 + 32 + 4 * 32
    assert counts["encoder"].total == 2 * layer + 1500 * 32 + (80 * 32 * 3 + 32) + (32 * 32 * 3 + 32) + 2 * 32
    assert counts["decoder"].trained > 0
