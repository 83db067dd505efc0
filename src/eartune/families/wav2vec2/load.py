"""Load a CTC encoder from where it lies: a model folder or a hub id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel as Shape
from pydantic import Field
from transformers import Wav2Vec2CTCTokenizer
from typing_extensions import TypedDict

from eartune.base_model import BaseModel
from eartune.declared_weights import require_declared
from eartune.errors import InputError, explained
from eartune.families.wav2vec2 import FAMILY
from eartune.families.wav2vec2.features import FeatureSettings, FilterBankSettings, SampleSettings
from eartune.families.wav2vec2.language_adapters import (
    choose_name,
    find_adapter,
    has_adapters,
    load_adapter,
    renew_adapters,
)
from eartune.families.wav2vec2.model import Wav2Vec2Model
from eartune.families.wav2vec2.network import CLASSES, prepare_network
from eartune.families.wav2vec2.tokenizer import (
    NEW_VOCABULARY,
    SpecialTokens,
    Vocabulary,
    build_tokenizer,
    read_vocabularies,
    special_tokens,
)
from eartune.families.wav2vec2.vocabulary import new_head
from eartune.language_tokens import require_language
from eartune.languages import three_letters
from eartune.model import Network
from eartune.model_folder import CONFIG, Rate, Size, read_extractor_settings, read_network_config
from eartune.parsing import check_shape, read_json
from eartune.weights import RELOAD_ADVICE, network_weights, require_finite

HEAD = "lm_head."
# the vector that replaces masked frames; old checkpoints lack it
MASK_VECTOR = "masked_spec_embed"
Layers = Annotated[list[Annotated[int, Field(ge=1, le=100_000)]], Field(min_length=1, max_length=32)]


class NetworkSettings(Shape):
    """config.json, as far as a network is built of wrong values, or fails with them late."""

    model_type: Literal["wav2vec2", "wav2vec2-bert", "hubert"]
    hidden_size: Size | None = None
    num_hidden_layers: Annotated[int, Field(ge=1, le=1000)] | None = None
    num_attention_heads: Size | None = None
    intermediate_size: Size | None = None
    vocab_size: Size | None = None
    pad_token_id: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    conv_dim: Layers | None = None
    conv_stride: Layers | None = None
    conv_kernel: Layers | None = None
    feat_extract_norm: Literal["group", "layer"] | None = None
    num_conv_pos_embeddings: Size | None = None
    num_conv_pos_embedding_groups: Size | None = None
    adapter_attn_dim: Size | None = None
    adapter_stride: Annotated[int, Field(ge=1, le=100)] | None = None
    num_adapter_layers: Annotated[int, Field(ge=0, le=100)] | None = None
    hidden_dropout: Rate | None = None
    attention_dropout: Rate | None = None
    activation_dropout: Rate | None = None
    feat_proj_dropout: Rate | None = None
    final_dropout: Rate | None = None


class _Extractor(TypedDict, total=False):
    """preprocessor_config.json."""

    do_normalize: bool | None
    sampling_rate: int | None
    feature_size: int | None
    num_mel_bins: int | None
    stride: int | None


def load(
    base: BaseModel, *, task: str = "transcribe", language: str | None = None, new_vocabulary: bool = False
) -> Wav2Vec2Model:
    """Load a base model in float32 on the CPU. Raises InputError for files that are damaged or incomplete.

    `language` chooses the language adapter and the vocabulary of a model that has several. With `new_vocabulary` the
    output head and the language adapters are new, and only special tokens have a row.
    """
    if task != "transcribe":
        raise InputError(f"task: {FAMILY.title} only transcribes, and cannot {task}; take a Canary or a Whisper")
    folder = base.path
    spoken = None if language is None else require_language(language)
    # model_type is one of these: the search for the base model asks
    network_class = CLASSES[read_json(folder / CONFIG, NetworkSettings, advice=RELOAD_ADVICE).model_type]
    config = read_network_config(folder, network_class.config_class, NetworkSettings)
    features = _read_features(folder, config.model_type)
    special, adapter_name = NEW_VOCABULARY, None
    vocabulary: Vocabulary = special.vocabulary()
    if not new_vocabulary:
        special = special_tokens(folder)
        adapter_name, vocabulary = _read_vocabulary(base, spoken, special, num_rows=config.vocab_size)
    tokenizer = build_tokenizer(vocabulary, special, where=folder)
    adapter = None
    if adapter_name is not None and has_adapters(config):
        adapter = find_adapter(base, adapter_name, own=special.target_lang)
    replaces_head = new_vocabulary or adapter is not None
    network = _load_network(folder, network_class, config, tokenizer, replaces_head=replaces_head)
    if adapter is not None:
        load_adapter(network, adapter)
    if new_vocabulary:
        new_head(network)
        if has_adapters(config):
            adapter_name = three_letters(spoken) if spoken else "new"
            renew_adapters(network)
    prepare_network(network)
    return Wav2Vec2Model(
        network.eval(), tokenizer, features, special=special, language=spoken, adapter_name=adapter_name
    )


def _read_vocabulary(
    base: BaseModel, language: str | None, special: SpecialTokens, *, num_rows: int | None
) -> tuple[str | None, Vocabulary]:
    """Return the vocabulary of a language, with the name that it has; None where there is only one, without a name."""
    vocabularies = read_vocabularies(base.path, num_rows=num_rows)
    if vocabularies is None:
        raise InputError(
            f"{base.spec}: has no vocabulary (vocab.json), as it was trained without transcripts; train it with "
            "--new-vocabulary"
        )
    name = None
    if vocabularies.by_language:
        name = choose_name(language, list(vocabularies.by_language), special.target_lang, where=base.spec)
    return name, vocabularies.of(name)


def _load_network(
    folder: Path, network_class: Any, config: Any, tokenizer: Wav2Vec2CTCTokenizer, *, replaces_head: bool
) -> Network:
    path, num_tokens = folder / CONFIG, len(tokenizer)
    if not replaces_head and config.vocab_size != num_tokens:
        raise InputError(
            f"{path}: vocab_size is {config.vocab_size}, and vocab.json has {num_tokens} tokens; copy the model's own "
            "files, or train with --new-vocabulary"
        )
    # a base model without a head may have no size
    config.vocab_size = config.vocab_size or num_tokens
    config.pad_token_id = int(tokenizer.pad_token_id)
    with explained(path, "is of a network that cannot be built", advice=RELOAD_ADVICE):
        require_declared(folder, network_class, config)
    config.vocab_size = num_tokens
    with explained(folder, "cannot be loaded as a CTC model", advice=RELOAD_ADVICE):
        network, report = network_class.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa" if network_class._supports_sdpa else "eager",
            output_loading_info=True,
            # which ones do not fit is said below
            ignore_mismatched_sizes=True,
        )
    _require_whole(folder, report, replaces_head=replaces_head)
    require_finite(network_weights(network), where=str(folder))
    return network


def _require_whole(folder: Path, report: Mapping[str, Any], *, replaces_head: bool) -> None:
    unfit = [entry[0] if isinstance(entry, (tuple, list)) else entry for entry in report["mismatched_keys"]]
    for what, names in {"missing": report["missing_keys"], "of another shape": unfit}.items():
        names = sorted(n for n in names if MASK_VECTOR not in n and not (replaces_head and n.startswith(HEAD)))
        if not names:
            continue
        if what == "missing" and all(name.startswith(HEAD) for name in names):
            raise InputError(f"{folder}: has no output head, so it cannot transcribe yet; train with --new-vocabulary")
        raise InputError(f"{folder}: its weights are incomplete: {names[0]} and {len(names)} in all {what}")


def _read_features(folder: Path, model_type: str) -> FeatureSettings:
    """Read preprocessor_config.json. Raises InputError for features that are not those of the network."""
    settings = read_extractor_settings(folder, advice=RELOAD_ADVICE)
    if settings is None:
        raise InputError(f"{folder / 'preprocessor_config.json'}: is not there; copy the whole model folder")
    where = settings.where
    found = check_shape(settings.values or {}, _Extractor, where=where, advice=RELOAD_ADVICE)
    rate = found.get("sampling_rate") or 16_000
    if rate != 16_000:
        raise InputError(f"{where}: sampling_rate is {rate}, and eartune reads 16000 Hz; take another model")
    if model_type == "wav2vec2-bert":
        bins, stride = found.get("num_mel_bins") or found.get("feature_size") or 80, found.get("stride") or 2
        if (bins, stride) != (80, 2):
            raise InputError(f"{where}: has {bins} mel bins in steps of {stride} frames, not 80 in steps of 2")
        return FilterBankSettings()
    return SampleSettings(do_normalize=found.get("do_normalize") is not False)
