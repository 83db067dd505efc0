"""Load a Whisper base model from where it lies."""

from __future__ import annotations

from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizer

from eartune.base_model import BaseModel, find_base_model
from eartune.declared_weights import require_declared
from eartune.errors import InputError, first_line
from eartune.families.whisper import attention
from eartune.families.whisper.encoder import accept_any_length
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai import generation_config, load_openai_checkpoint
from eartune.weights import network_weights, require_finite


def find(spec: str, *, revision: str | None = None, cache: Path | None = None) -> BaseModel:
    """Find a Whisper base model: hub id (the owner openai may be left out), folder or .pt file."""
    return find_base_model(
        spec, model_types=("whisper",), file_kind="openai", hub_owner="openai", revision=revision, cache=cache
    )


def load(base: BaseModel, *, task: str = "transcribe", language: str | None = None) -> WhisperModel:
    """Load a base model in float32 on the CPU. Raises InputError for files that are damaged or incomplete."""
    if base.kind == "openai":
        network, tokenizer = load_openai_checkpoint(base.path)
    else:
        network, tokenizer = _load_folder(base.path)
    # sinusoids, which OpenAI does not train; transformers means to freeze them and forgets it when it loads a folder
    network.model.encoder.embed_positions.requires_grad_(False)
    if language is not None and not network.generation_config.is_multilingual and language != "en":
        raise InputError(f"{base.spec}: is English-only and language is {language!r}; take a multilingual model")
    accept_any_length(network)
    network.set_attn_implementation(attention.NAME)
    return WhisperModel(network, tokenizer, task=task, language=language)


def _load_folder(folder: Path) -> tuple[WhisperForConditionalGeneration, WhisperTokenizer]:
    try:
        require_declared(folder, WhisperForConditionalGeneration, WhisperConfig.from_pretrained(folder))
        tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
        network, report = WhisperForConditionalGeneration.from_pretrained(
            folder,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, StrictDataclassError) as error:
        reason = first_line(error)
        raise InputError(f"{folder}: cannot be loaded as a Whisper model: {reason[:200]}") from None
    # the head is the embedding itself, so a file without it is complete
    missing = sorted(set(report["missing_keys"]) - {"proj_out.weight"})
    if missing:
        raise InputError(
            f"{folder}: its weights are incomplete: {', '.join(missing[:3])} and {len(missing)} in all missing"
        )
    require_finite(network_weights(network), where=str(folder))
    _complete_generation_config(network, tokenizer)
    return network.eval(), tokenizer


def _complete_generation_config(network: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer) -> None:
    """Give old and home-made models the settings that current decoding needs."""
    settings = network.generation_config
    if getattr(settings, "no_timestamps_token_id", None) is None:
        languages = tokenizer.convert_tokens_to_ids("<|en|>") != tokenizer.unk_token_id
        network.generation_config = generation_config(tokenizer, multilingual=languages)
    # forced ids fix language and task of every decoding, and newer versions refuse them
    network.generation_config.forced_decoder_ids = None
    network.config.forced_decoder_ids = None
    # these belong to decoding; in the network's configuration they are warned about on every save
    network.config.suppress_tokens = None
    network.config.begin_suppress_tokens = None
