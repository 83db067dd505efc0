"""Names of modules to adapt: what matches, what is an error, what is said."""

from pathlib import Path
from typing import Any

import pytest
from peft import get_peft_model

from eartune.config.adapter import AdapterSection
from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.model import SpeechModel
from eartune.training.adaptation.adapters import lora_config
from eartune.training.adaptation.targets import Targets, resolve_targets


@pytest.fixture
def model(tiny_model: Path) -> SpeechModel:
    return load(find(str(tiny_model)))


def resolve(model: SpeechModel, *, freeze_encoder: bool = False, **options: Any) -> Targets:
    adapter = AdapterSection.model_validate(options)
    return resolve_targets(model.network, adapter, model.blocks, freeze_encoder=freeze_encoder)


def test_defaults_are_all_attention_and_feed_forward_layers(model: SpeechModel) -> None:
    # 2 encoder layers of 4 + 2, and 2 decoder layers of 8 + 2
    assert len(resolve(model).matched) == 2 * 6 + 2 * 10


def test_the_seeds_o_proj_is_out_proj_and_said_so(model: SpeechModel) -> None:
    targets = resolve(model, target_modules=["q_proj", "o_proj"])
    assert targets.target_modules == ["q_proj", "out_proj"]
    assert targets.notes == ("target_modules: o_proj is called out_proj in this model; out_proj is adapted",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_modules": ["q_porj"]}, "'q_porj' matches no module that can be adapted. Did you mean q_proj"),
        ({"target_modules": ["linear_qkv"]}, "'linear_qkv' matches no module"),
        ({"target_modules": ["proj_out"]}, "'proj_out' would adapt proj_out: it shares its weights"),
        ({"target_modules": ["([unclosed"]}, "matches no module"),
        ({"exclude_modules": ["fc3"]}, "exclude_modules: 'fc3' matches no module. Did you mean"),
        (
            {"modules_to_save": ["embed_token"]},
            "modules_to_save: 'embed_token' matches no module. Did you mean emb",
        ),
        (
            {"rank_pattern": {"q_porj": 4}},
            "rank_pattern: 'q_porj' matches none of the adapted modules. Did you mean",
        ),
        ({"alpha_pattern": {"lm_head": 4}}, "alpha_pattern: 'lm_head' matches none"),
    ],
)
def test_names_that_match_nothing_are_errors(model: SpeechModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        resolve(model, **options)
    assert message in str(refused.value)
    assert "Modules that can be adapted:" in str(refused.value)


def test_all_wrong_names_are_reported_together(model: SpeechModel) -> None:
    with pytest.raises(InputError) as refused:
        resolve(model, target_modules=["one", "q_proj", "two"], rank_pattern={"three": 1})
    assert all(name in str(refused.value) for name in ("'one'", "'two'", "'three'"))


CASES: list[dict[str, Any]] = [
    {},
    {"freeze_encoder": True},
    {"freeze_encoder": True, "exclude_modules": ["fc1"]},
    {"target_modules": ["q_proj"]},
    {"target_modules": ["encoder_attn.q_proj"]},
    {"target_modules": [r".*decoder\.layers\.1\..*fc[12]"]},
    {"target_modules": ["all-linear"]},
    {"exclude_modules": ["k_proj"]},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_announced_is_what_peft_adapts(model: SpeechModel, case: dict[str, Any]) -> None:
    options = {name: value for name, value in case.items() if name != "freeze_encoder"}
    targets = resolve(model, freeze_encoder=case.get("freeze_encoder", False), **options)
    adapter = AdapterSection.model_validate({"r": 2, **options})
    adapted = get_peft_model(model.network, lora_config(adapter, targets))
    prefix, ending = "base_model.model.", ".lora_A.default.weight"
    found = {n[len(prefix) : -len(ending)] for n, _ in adapted.named_parameters() if n.endswith(ending)}
    linear = {name for name in targets.matched if "embed" not in name and "conv" not in name}
    assert found == linear


def test_nothing_left_after_exclusions_is_an_error(model: SpeechModel) -> None:
    with pytest.raises(InputError, match="nothing is left to adapt"):
        resolve(model, target_modules=["q_proj"], exclude_modules=["q_proj"])
