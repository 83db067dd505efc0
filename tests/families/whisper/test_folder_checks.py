"""Folders whose files do not belong together, or of which some are missing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import GenerationConfig, WhisperTokenizer

from eartune.errors import InputError
from eartune.families.whisper.folder_checks import complete_generation_config
from eartune.families.whisper.load import find, load


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    load(find(str(tiny_model))).save(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(whole: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_pretrained(whole)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


def edit(path: Path, **values: Any) -> None:
    """Set values of a JSON file; None removes them."""
    settings = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({name: v for name, v in settings.items() if v is not None}), encoding="utf-8")


def without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json"):
        (folder / name).unlink(missing_ok=True)


def of_another_kind(folder: Path) -> None:
    without_tokenizer(folder)
    Tokenizer(BPE(vocab={"a": 0, "b": 1}, merges=[])).save(str(folder / "tokenizer.json"))


def with_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def narrow(weights: dict[str, torch.Tensor]) -> None:
    weights["model.encoder.layers.0.fc1.weight"] = weights["model.encoder.layers.0.fc1.weight"][:-1].clone()


def damaged(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")


CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no tokenizer": (without_tokenizer, "has no tokenizer (tokenizer.json or vocab.json)"),
    "another kind": (of_another_kind, "its tokenizer has no token <|startoftranscript|>"),
    "damaged": (damaged, "tokenizer.json: has no model"),
    "vocabulary": (lambda f: edit(f / "config.json", vocab_size=51000), "tokenizer has tokens up to number 51864"),
    "start": (
        lambda f: edit(f / "config.json", decoder_start_token_id=50257),
        "<|startoftranscript|> is 50258 in its tokenizer and 50257 in config.json",
    ),
    "notimestamps": (
        lambda f: edit(f / "generation_config.json", no_timestamps_token_id=50364),
        "<|notimestamps|> is 50363 in its tokenizer and 50364 in generation_config.json",
    ),
    "language": (
        lambda f: edit(f / "generation_config.json", lang_to_id={"<|en|>": 50260}),
        "<|en|> is 50259 in its tokenizer and 50260 in generation_config.json",
    ),
    "mels": (lambda f: edit(f / "preprocessor_config.json", feature_size=128), "feature_size is 128"),
    "rate": (lambda f: edit(f / "preprocessor_config.json", sampling_rate=8000), "sampling_rate is 8000"),
    "missing": (
        with_weights(lambda w: w.pop("model.encoder.layer_norm.weight")),
        "incomplete: model.encoder.layer_norm.weight",
    ),
    "another shape": (
        with_weights(narrow),
        "model.encoder.layers.0.fc1.weight is [127, 32], but [128, 32] in its configuration",
    ),
    "unknown": (
        with_weights(lambda w: w.update({"model.encoder.layers.0.fc1.lora_A.weight": torch.zeros(2, 2)})),
        "its weights hold model.encoder.layers.0.fc1.lora_A.weight (1 such in all)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_belong_together_is_named(folder: Path, case: str) -> None:
    damage, reason = CASES[case]
    damage(folder)
    with pytest.raises(InputError) as refused:
        load(find(str(folder)))
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["is_multilingual", "lang_to_id", "task_to_id", "no_timestamps_token_id"])
def test_what_old_generation_settings_lack_is_filled_in(whole: Path, tokenizer: WhisperTokenizer, name: str) -> None:
    known = GenerationConfig.from_pretrained(whole).to_dict()
    found = GenerationConfig.from_dict({key: value for key, value in known.items() if key != name})
    assert complete_generation_config(whole, found, tokenizer).to_dict()[name] == known[name]


def test_a_language_that_only_the_tokenizer_knows_counts(tiny_model: Path, tmp_path: Path) -> None:
    """As after tokenizer.add_tokens("<|ky|>") and resize_token_embeddings."""
    model = load(find(str(tiny_model)))
    model.tokenizer.add_tokens(["<|ky|>"])
    model.network.resize_token_embeddings(len(model.tokenizer))
    model.save(tmp_path / "kyrgyz")
    assert load(find(str(tmp_path / "kyrgyz")), language="Kyrgyz").labeler.prompt("ky")[1] == 51865
