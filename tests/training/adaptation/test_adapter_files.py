"""Adapters of other programs: whatever task PEFT wraps them for, and those that are incomplete or of another model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, PeftConfig, PeftModel, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import WhisperConfig, WhisperForConditionalGeneration

from eartune.errors import InputError
from eartune.training.adaptation.adapter_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, load_adapter, merge

SIZES = {"d_model": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "vocab_size": 60}
SIZES |= {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_source_positions": 50, "num_mel_bins": 80}
TOKENS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 1}
PROBE = {"input_features": torch.ones(1, 80, 100), "decoder_input_ids": torch.tensor([[1, 5, 7]])}


def network(num_layers: int = 2, **sizes: int) -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    config = WhisperConfig(encoder_layers=num_layers, decoder_layers=num_layers, **(SIZES | TOKENS | sizes))
    return WhisperForConditionalGeneration(config).eval()


def save(folder: Path, config: PeftConfig, **kind: Any) -> PeftModel:
    """Write an adapter as PEFT does, with weights that change what the network answers."""
    adapted = get_peft_model(network(**kind), config).eval()
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder)
    return adapted


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(**PROBE).logits


TARGETS = ["q_proj", "v_proj"]
KINDS: dict[str, Callable[[], PeftConfig]] = {
    "seq2seq": lambda: LoraConfig(target_modules=TARGETS, task_type="SEQ_2_SEQ_LM"),
    "causal": lambda: LoraConfig(target_modules=TARGETS, task_type="CAUSAL_LM"),
    "feature extraction": lambda: LoraConfig(target_modules=TARGETS, task_type="FEATURE_EXTRACTION"),
    "none": lambda: LoraConfig(target_modules=TARGETS, modules_to_save=["fc1"], bias="all"),
    "ia3": lambda: IA3Config(target_modules=["k_proj", "fc2"], feedforward_modules=["fc2"], task_type="SEQ_2_SEQ_LM"),
    "loha": lambda: LoHaConfig(target_modules=TARGETS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_answers_as_peft_made_it_and_so_does_what_is_merged(kind: str, tmp_path: Path) -> None:
    made = save(tmp_path, KINDS[kind]())
    # PEFT's wrappers pass input_ids on, so the network under them is asked
    expected = logits(made.base_model.model)
    adapted = load_adapter(network(), tmp_path)
    torch.testing.assert_close(logits(adapted), expected)
    torch.testing.assert_close(logits(merge(adapted)), expected)
    assert (logits(network()) - expected).abs().max() > 0.01


def edit(folder: Path, **values: Any) -> None:
    path = folder / ADAPTER_CONFIG
    settings = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}), encoding="utf-8")


def half(folder: Path) -> None:
    weights = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: weights[name] for name in sorted(weights)[::2]}, folder / ADAPTER_WEIGHTS)


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda folder: (folder / ADAPTER_WEIGHTS).unlink(), "has no adapter_model.safetensors"),
    "half the weights": (half, "the adapter lacks base_model.model.model"),
    "damaged": (
        lambda folder: (folder / ADAPTER_WEIGHTS).write_bytes(b"x" * 99),
        "adapter_model.safetensors: is damaged",
    ),
    "no kind": (lambda folder: edit(folder, peft_type=None), "peft_type is None"),
    "a newer kind": (lambda folder: edit(folder, peft_type="TELEPATHY"), "peft_type is 'TELEPATHY', which PEFT"),
    "no targets": (lambda folder: edit(folder, target_modules=["qq_proj"]), "does not fit its base model: Target mod"),
    "a rank in words": (lambda folder: edit(folder, r="eight"), "the adapter cannot be read: TypeError"),
    "no JSON": (
        lambda folder: (folder / ADAPTER_CONFIG).write_text("[]"),
        "adapter_config.json: is a list, and should be a valid mapping",
    ),
}


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "lora"
    save(folder, KINDS["seq2seq"]())
    return folder


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_an_adapter_is_said_in_a_line(wrong: str, lora: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(lora, tmp_path / "adapter")
    damage, reason = WRONG[wrong]
    damage(folder)
    with pytest.raises(InputError) as refused:
        load_adapter(network(), folder)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ({"num_layers": 3}, "the adapter lacks base_model.model.model.decoder.layers.2"),
        (
            {"num_layers": 1},
            "does not fit its base model, which lacks base_model.model.model.decoder.layers.1",
        ),
        ({"d_model": 32}, "does not fit its base model: size mismatch for base_model.model.model"),
    ],
)
def test_an_adapter_of_another_base_model_is_refused(base: dict[str, int], reason: str, lora: Path) -> None:
    with pytest.raises(InputError) as refused:
        load_adapter(network(**base), lora)
    assert reason in str(refused.value)


def test_adapters_that_add_inputs_are_refused_by_their_kind(tmp_path: Path) -> None:
    sizes = {"num_layers": 2, "token_dim": 16, "num_attention_heads": 2, "num_transformer_submodules": 1}
    PrefixTuningConfig(num_virtual_tokens=4, task_type="SEQ_2_SEQ_LM", **sizes).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="peft_type PREFIX_TUNING adds inputs"):
        load_adapter(network(), tmp_path)
