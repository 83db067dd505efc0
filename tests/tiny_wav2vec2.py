"""Tiny CTC encoders with random weights, as model folders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    HubertConfig,
    HubertForCTC,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
)

# one with a group norm over time, as wav2vec2-base; one with layer norms, as XLS-R; one with language adapters, as MMS;
# one that was trained without transcripts; two with convolutions that shorten the states after the last layer
KINDS = ("group", "layer", "mms", "bert", "hubert", "pretrained", "shortened", "shortened bert")
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pad_token_id": 0,
}
CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": [24] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LETTERS = "abcdefghijklmnopqrstuvwxyz'"


def vocabulary(letters: str) -> dict[str, int]:
    names = ["<pad>", "<s>", "</s>", "<unk>", "|", *letters]
    return {name: number for number, name in enumerate(names)}


def network(kind: str, num_tokens: int) -> Any:
    torch.manual_seed(0)
    options = SMALL | {"vocab_size": num_tokens}
    stable = CONVOLUTIONS | {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    shortening: dict[str, Any] = {"add_adapter": True, "num_adapter_layers": 1, "output_hidden_size": 32}
    made: dict[str, Callable[[], Any]] = {
        "group": lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**options, **CONVOLUTIONS)),
        "layer": lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**options, **stable)),
        "mms": lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**options, **stable, adapter_attn_dim=4)),
        "bert": lambda: Wav2Vec2BertForCTC(Wav2Vec2BertConfig(**options)),
        "shortened": lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**options, **stable, **shortening)),
        "shortened bert": lambda: Wav2Vec2BertForCTC(Wav2Vec2BertConfig(**options, **shortening)),
        "hubert": lambda: HubertForCTC(HubertConfig(**options, **CONVOLUTIONS)),
        "pretrained": lambda: Wav2Vec2ForPreTraining(
            Wav2Vec2Config(**options, **stable, codevector_dim=16, proj_codevector_dim=16)
        ),
    }
    return made[kind]()


def make_folder(folder: Path, kind: str, *, letters: str = LETTERS) -> Path:
    """Write a model folder as transformers writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = vocabulary(letters)
    made = network(kind, len(tokens))
    with torch.no_grad():
        # speech and silence give different logits
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    made.save_pretrained(folder)
    if kind.endswith("bert") and kind != "hubert":
        SeamlessM4TFeatureExtractor().save_pretrained(folder)
    else:
        Wav2Vec2FeatureExtractor(return_attention_mask=kind != "group").save_pretrained(folder)
    if kind == "pretrained":
        return folder
    (folder / "vocab.json").write_text(json.dumps(tokens))
    Wav2Vec2CTCTokenizer(folder / "vocab.json").save_pretrained(folder)
    if kind == "mms":
        _add_languages(folder, made, {"eng": letters, "deu": "äöüabcdefghijklmnopqrstuvwxyz", "rus": "абвгдежз"})
    return folder


def _add_languages(folder: Path, made: Any, languages: dict[str, str]) -> None:
    vocabularies = {name: vocabulary(letters) for name, letters in languages.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabularies))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"target_lang": "eng"}))
    for number, (name, tokens) in enumerate(vocabularies.items()):
        generator = torch.Generator().manual_seed(number)
        weights = {key: value.detach().clone() for key, value in made._get_adapters().items()}
        if number:
            weights = {key: torch.randn(value.shape, generator=generator) * 0.3 for key, value in weights.items()}
            weights["lm_head.weight"] = torch.randn(len(tokens), SMALL["hidden_size"], generator=generator) * 0.3
            weights["lm_head.bias"] = torch.zeros(len(tokens))
        save_file(weights, folder / f"adapter.{name}.safetensors")
