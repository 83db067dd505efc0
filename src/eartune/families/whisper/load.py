"""Load a Whisper base model from where it lies."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizer

from eartune.base_model import BaseModel, find_base_model
from eartune.declared_weights import require_declared
from eartune.errors import InputError, explained, nearest
from eartune.families.whisper import FAMILY
from eartune.families.whisper.encoder import ATTENTION, accept_any_length
from eartune.families.whisper.folder_checks import (
    NetworkSettings,
    complete_generation_config,
    read_tokenizer,
    require_fitting_features,
    require_fitting_generation_config,
    require_fitting_tokenizer,
    require_whole_weights,
)
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai import load_openai_checkpoint
from eartune.language_tokens import NO_STAND_INS, StandIns, no_token, parse_stand_ins, require_language
from eartune.model_folder import CONFIG, read_network_config
from eartune.weights import RELOAD_ADVICE, network_weights, require_finite


def find(spec: str, *, revision: str | None = None, cache: Path | None = None) -> BaseModel:
    """Find a Whisper base model: hub id (the owner openai may be left out), folder or .pt file."""
    return find_base_model(spec, FAMILY, revision=revision, cache=cache)


def load(
    base: BaseModel, *, task: str = "transcribe", language: str | None = None, language_token: str | None = None
) -> WhisperModel:
    """Load a base model in float32 on the CPU. Raises InputError for files that are damaged or incomplete.

    `language_token` names the languages whose tokens stand in for others, as in parse_stand_ins.
    """
    if base.kind == "openai":
        network, tokenizer = load_openai_checkpoint(base.path)
    else:
        network, tokenizer = _load_folder(base.path)
    # sinusoids, which OpenAI does not train; transformers means to freeze them and forgets it when it loads a folder
    network.model.encoder.embed_positions.requires_grad_(False)
    spoken = None if language is None else require_language(language)
    stand_ins = parse_stand_ins(language_token)
    _require_languages(base.spec, network.generation_config, spoken, stand_ins)
    accept_any_length(network)
    network.set_attn_implementation(ATTENTION)
    return WhisperModel(network, tokenizer, task=task, language=spoken, stand_ins=stand_ins)


def _require_languages(spec: str, settings: GenerationConfig, language: str | None, stand_ins: StandIns) -> None:
    """Raise InputError for a language that the model lacks, and for stand-ins that it has no token for."""
    if not settings.is_multilingual:
        if language not in (None, "en"):
            raise InputError(f"{spec}: is English-only and language is {language!r}; take a multilingual model")
        if stand_ins.codes():
            raise InputError(f"{spec}: is English-only and has no language tokens; leave --language-token out")
        return
    known = {token.strip("<|>") for token in settings.lang_to_id}
    for code in stand_ins.codes():
        if not NO_STAND_INS.has_token(code, known):
            raise InputError(
                f"language_token: {spec} has no token for {code!r} either; name a language that it has."
                f"{nearest(code, sorted(known))}"
            )
    if language is not None and not stand_ins.has_token(language, known):
        raise InputError(f"{spec}: {no_token(language, known)}")


def _load_folder(folder: Path) -> tuple[WhisperForConditionalGeneration, WhisperTokenizer]:
    # the small files first: weights take long to read
    tokenizer = read_tokenizer(folder)
    config = read_network_config(folder, WhisperConfig, NetworkSettings)
    require_fitting_tokenizer(folder, tokenizer, config)
    require_fitting_features(folder, config)
    require_fitting_generation_config(folder, config)
    with explained(folder / CONFIG, "is of a network that cannot be built", advice=RELOAD_ADVICE):
        require_declared(folder, WhisperForConditionalGeneration, config)
    with explained(folder, "cannot be loaded as a Whisper model", advice=RELOAD_ADVICE):
        network, report = WhisperForConditionalGeneration.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
            # which ones do not fit is said below
            ignore_mismatched_sizes=True,
        )
    require_whole_weights(folder, report)
    require_finite(network_weights(network), where=str(folder))
    network.generation_config = complete_generation_config(folder, network.generation_config, tokenizer)
    _leave_decoding_free(network)
    return network.eval(), tokenizer


def _leave_decoding_free(network: WhisperForConditionalGeneration) -> None:
    # forced ids fix language and task of every decoding, and newer versions refuse them
    network.generation_config.forced_decoder_ids = None
    network.config.forced_decoder_ids = None
    # these belong to decoding; in the network's configuration they are warned about on every save
    network.config.suppress_tokens = None
    network.config.begin_suppress_tokens = None
