"""Consistency checks of a Whisper's folder: tokenizer, weights, generation and feature settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from transformers import GenerationConfig, WhisperConfig, WhisperTokenizer

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError, explained
from eartune.families.whisper.features import FFT_SAMPLES, HOP_SAMPLES
from eartune.families.whisper.openai import generation_config
from eartune.families.whisper.settings import WhisperSettings
from eartune.languages import language_code
from eartune.model_folder import (
    CONFIG,
    GENERATION_CONFIG,
    Rate,
    Size,
    TokenId,
    read_generation_config,
    require_tokenizer_files,
    require_tokens,
)
from eartune.parsing import JsonObject, check_shape, read_json

TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
COPY = "copy the tokenizer files (tokenizer.json, tokenizer_config.json, ...) of the model it was tuned from"
# without these nothing can be decoded
NEEDED = ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>")
NEEDED_MULTILINGUAL = ("<|en|>", "<|transcribe|>", "<|translate|>")
LANGUAGE_TOKEN = re.compile(r"<\|([a-z]{2,3})\|>")
_COMPLETED = ("is_multilingual", "no_timestamps_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id")


class NetworkSettings(BaseModel):
    """config.json, as far as transformers takes it as it comes and the network fails with it later."""

    encoder_attention_heads: Size = 1
    decoder_attention_heads: Size = 1
    encoder_ffn_dim: Size = 1
    decoder_ffn_dim: Size = 1
    max_source_positions: Size = 1
    max_target_positions: Size = 1
    num_mel_bins: Size = 1
    dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    activation_dropout: Rate = 0.0
    encoder_layerdrop: Rate = 0.0
    decoder_layerdrop: Rate = 0.0
    decoder_start_token_id: TokenId | None = None
    eos_token_id: TokenId | None = None
    pad_token_id: TokenId | None = None
    bos_token_id: TokenId | None = None
    # of folders without a generation_config.json
    suppress_tokens: list[TokenId] | None = None
    begin_suppress_tokens: list[TokenId] | None = None


def read_tokenizer(folder: Path) -> WhisperTokenizer:
    """Read a folder's tokenizer. Raises InputError where it has none: transformers makes an empty one up, silently."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(
            f"{folder}: has no tokenizer ({' or '.join(TOKENIZER_FILES)}), as checkpoints of a training have not; "
            f"{COPY}, such as openai/whisper-small, into it"
        )
    require_tokenizer_files(folder, advice=COPY)
    with explained(folder, "its tokenizer cannot be read from tokenizer.json and tokenizer_config.json", advice=COPY):
        return WhisperTokenizer.from_pretrained(folder, local_files_only=True)


def require_fitting_tokenizer(folder: Path, tokenizer: WhisperTokenizer, config: WhisperConfig) -> None:
    """Raise InputError where the tokenizer is not that of the network."""
    vocabulary = tokenizer.get_vocab()
    needed = NEEDED + (NEEDED_MULTILINGUAL if "<|en|>" in vocabulary or "<|transcribe|>" in vocabulary else ())
    missing = [token for token in needed if token not in vocabulary]
    if missing:
        raise InputError(f"{folder}: its tokenizer has no token {missing[0]}, so it is not Whisper's; {COPY}")
    if tokenizer.pad_token_id is None:
        raise InputError(f"{folder / 'tokenizer_config.json'}: names no pad_token; {COPY}")
    most = max(vocabulary.values())
    if most >= config.vocab_size:
        raise InputError(
            f"{folder}: its tokenizer has tokens up to number {most}, and its network {config.vocab_size} in all "
            f"(vocab_size in config.json): it is another model's; {COPY}"
        )
    wanted = {"decoder_start_token_id": "<|startoftranscript|>", "eos_token_id": "<|endoftext|>"}
    # as it is written: the class fills in the numbers of English-only models
    written = read_json(folder / CONFIG, JsonObject)
    for name, token in wanted.items():
        number = written.get(name)
        if isinstance(number, int) and number != vocabulary[token]:
            raise InputError(
                f"{folder}: {token} is {vocabulary[token]} in its tokenizer and {number} in config.json ({name}): "
                f"the tokenizer is another model's; {COPY}"
            )


def require_fitting_features(folder: Path, config: WhisperConfig) -> None:
    """Raise InputError where the settings of features are not those that the network is run with."""
    path = folder / "preprocessor_config.json"
    if not path.exists():
        return
    settings = read_json(path, JsonObject, advice=COPY)
    wanted = {
        "feature_size": config.num_mel_bins,
        "sampling_rate": SAMPLE_RATE_HZ,
        "n_fft": FFT_SAMPLES,
        "hop_length": HOP_SAMPLES,
    }
    for name, value in wanted.items():
        if settings.get(name, value) != value:
            raise InputError(
                f"{path}: {name} is {settings[name]!r}, and the network of this folder takes {value}; "
                "copy the file of the model it was tuned from"
            )


def require_fitting_generation_config(folder: Path, config: WhisperConfig) -> None:
    """Raise InputError where the settings of decoding are of other types, or name tokens that the network has not."""
    settings, path = read_generation_config(folder, WhisperSettings), folder / GENERATION_CONFIG
    if settings is None:
        path = folder / CONFIG
        settings = check_shape(config.to_dict(), WhisperSettings, where=str(path), advice=COPY)
    require_tokens(settings.named_tokens(), config.vocab_size, where=str(path))


def require_whole_weights(folder: Path, report: Mapping[str, Any]) -> None:
    """Raise InputError for weights that are missing, of another shape, or of another network, from what loading says.

    The head is the embedding itself, so a file without it is complete.
    """
    missing = sorted(set(report["missing_keys"]) - {"proj_out.weight"})
    if missing:
        raise InputError(
            f"{folder}: its weights are incomplete: {', '.join(missing[:3])} and {len(missing)} in all missing"
        )
    if report["mismatched_keys"]:
        name, found, expected = min(report["mismatched_keys"])
        raise InputError(
            f"{folder}: its weights do not fit config.json: {name} is {list(found)}, and {list(expected)} is expected"
        )
    unexpected = sorted(report["unexpected_keys"])
    if unexpected:
        raise InputError(
            f"{folder}: its weights hold {unexpected[0]} ({len(unexpected)} such in all), which no Whisper of its "
            "config.json has; take the folder that its training wrote as a whole model"
        )


def complete_generation_config(folder: Path, found: GenerationConfig, tokenizer: WhisperTokenizer) -> GenerationConfig:
    """Return generation settings with all that current decoding needs: those of old and home-made models lack some.

    Raises InputError where they name other tokens than the tokenizer.
    """
    vocabulary = tokenizer.get_vocab()
    knows_languages = "<|en|>" in vocabulary
    with explained(folder, "its tokenizer is not Whisper's", advice=COPY):
        stock = generation_config(tokenizer, multilingual=knows_languages)
    number = getattr(found, "no_timestamps_token_id", None)
    if number is None:
        return stock
    if number != stock.no_timestamps_token_id:
        raise InputError(
            f"{folder}: <|notimestamps|> is {stock.no_timestamps_token_id} in its tokenizer and {number} in "
            f"generation_config.json: one of them is another model's; {COPY}"
        )
    for name in _COMPLETED:
        if getattr(found, name, None) is None:
            setattr(found, name, getattr(stock, name))
    if found.is_multilingual:
        if not knows_languages:
            raise InputError(
                f"{folder}: has no token <|en|> in its tokenizer, and is_multilingual in generation_config.json: "
                f"one of them is another model's; {COPY}"
            )
        if not getattr(found, "lang_to_id", None):
            found.lang_to_id = stock.lang_to_id
        found.lang_to_id = {**_added_languages(tokenizer), **found.lang_to_id}
        found.task_to_id = {**stock.task_to_id, **(getattr(found, "task_to_id", None) or {})}
        for token, listed in {**found.lang_to_id, **_tasks(found)}.items():
            if vocabulary.get(token) != listed:
                raise InputError(
                    f"{folder}: {token} is {vocabulary.get(token)} in its tokenizer and {listed} in "
                    f"generation_config.json: one of them is another model's; {COPY}"
                )
    return found


def _added_languages(tokenizer: WhisperTokenizer) -> dict[str, int]:
    """Return the tokens <|ky|> of languages, those included that a model was given after the stock ones."""
    found = tokenizer.get_added_vocab()
    named = {token: LANGUAGE_TOKEN.fullmatch(token) for token in found}
    return {token: found[token] for token, match in named.items() if match and language_code(match[1])}


def _tasks(settings: GenerationConfig) -> dict[str, int]:
    return {f"<|{task}|>": number for task, number in settings.task_to_id.items()}
