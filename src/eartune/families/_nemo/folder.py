"""A Hugging Face folder of one of NeMo's models: network, tokenizer and features, with its settings checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import BaseModel, Field
from transformers import NemotronAsrStreamingFeatureExtractor, PreTrainedTokenizerBase

from eartune.declared_weights import require_declared
from eartune.errors import InputError, explained
from eartune.families._nemo.features import MIN_POSITIONS, FeatureSettings, LogMel, require_possible_lengths
from eartune.families._nemo.tokenizer import folder_tokenizer
from eartune.model import Network
from eartune.model_folder import (
    CONFIG,
    Rate,
    Size,
    TokenId,
    read_extractor_settings,
    read_generation_config,
    read_network_config,
    require_tokens,
)
from eartune.parsing import JsonObject, check_shape, read_json
from eartune.weights import RELOAD_ADVICE, network_weights, require_finite

COPY = "copy the whole model folder"
_Frames: TypeAlias = Annotated[int, Field(ge=0, le=1000)]
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class _Layers(BaseModel):
    """What encoder and decoder have in common."""

    model_type: str | None = None
    num_attention_heads: Size = 1
    hidden_size: Size = 1
    max_position_embeddings: Size = 1
    attention_dropout: Rate | None = None


class _Encoder(_Layers):
    max_position_embeddings: Annotated[int, Field(ge=MIN_POSITIONS, le=10_000_000)] = 5000
    num_mel_bins: Size = 1
    intermediate_size: Size = 1
    conv_kernel_size: Size = 1
    subsampling_factor: Size = 1
    subsampling_conv_channels: Size = 1
    subsampling_conv_kernel_size: Size = 1
    subsampling_conv_stride: Size = 1
    dropout: Rate = 0.0
    dropout_positions: Rate = 0.0
    activation_dropout: Rate = 0.0
    sliding_window: Size = 1
    default_num_lookahead_tokens: _Frames = 0
    lookaheads: list[_Frames] | None = None
    lookahead_probabilities: list[_Share] = []


class _TdtLoss(BaseModel):
    sigma: Annotated[float, Field(ge=0, le=1)] = 0.0
    omega: _Share = 0.0
    fastemit_lambda: Annotated[float, Field(ge=0, le=1)] = 0.0


class NetworkSettings(BaseModel):
    """config.json."""

    encoder_config: _Encoder = _Encoder()
    decoder_config: _Layers = _Layers()
    vocab_size: Size = 1
    # one of them is the blank
    blank_token_id: TokenId = 0
    pad_token_id: TokenId = 0
    bos_token_id: TokenId | None = None
    eos_token_id: TokenId | None = None
    decoder_start_token_id: TokenId | None = None
    decoder_hidden_size: Size = 1
    max_symbols_per_step: Size = 1
    durations: list[_Frames] = []
    num_prompts: Size = 1
    prompt_dictionary: dict[str, TokenId] | None = None
    prompt_defaults: dict[str, str] = {}
    output_dropouts: dict[str, Rate] = {}
    prediction_dropout: Rate = 0.0
    aux_ctc_loss_weight: _Share = 0.0
    tdt_loss: _TdtLoss = _TdtLoss()


def require_known_tokens(config: Any, path: Path) -> None:
    """Raise InputError where a configuration names tokens that its network has not."""
    named = {name: value for name, value in config.to_dict().items() if name.endswith("_token_id")}
    require_tokens(
        {name: [value] for name, value in named.items() if value is not None}, config.vocab_size, where=str(path)
    )


class _FeatureExtractor(BaseModel):
    feature_size: Annotated[int, Field(ge=1, le=1000)]
    sampling_rate: Literal[16_000] = 16_000
    win_length: Size = 400
    hop_length: Size = 160
    n_fft: Size = 512
    preemphasis: Annotated[float, Field(ge=0, le=1)] = 0.97
    feature_extractor_type: str | None = None
    mel_filters_dtype: Literal["float32"] = "float32"


def read_feature_settings(folder: Path, *, num_mel_bins: int) -> FeatureSettings:
    """Read the feature extractor's settings. Raises InputError for those of a network with other mel bins."""
    settings = read_extractor_settings(folder, advice=COPY)
    if settings is None:
        raise InputError(f"{folder}: has no preprocessor_config.json; {COPY}")
    found = check_shape(settings.values, _FeatureExtractor, where=settings.where, advice=COPY)
    if found.feature_size != num_mel_bins:
        raise InputError(
            f"{settings.where}: feature_size is {found.feature_size}, and the network takes {num_mel_bins}; {COPY}"
        )
    plain = found.feature_extractor_type == NemotronAsrStreamingFeatureExtractor.__name__
    features = FeatureSettings(
        feature_size=found.feature_size,
        win_length=found.win_length,
        hop_length=found.hop_length,
        n_fft=found.n_fft,
        preemphasis=found.preemphasis,
        normalize=not plain,
    )
    require_possible_lengths(features, where=settings.where, advice=COPY)
    return features


def load_folder(
    folder: Path, network_class: Callable[[Mapping[str, Any]], Any], prepare: Callable[[Network], None]
) -> tuple[Network, PreTrainedTokenizerBase, LogMel]:
    """Load a folder in float32 on the CPU. Raises InputError for what is damaged or incomplete.

    `network_class` tells the class by config.json, and `prepare` is given the network.
    """
    path = folder / CONFIG
    class_here = network_class(read_json(path, JsonObject, advice=COPY))
    config = read_network_config(folder, class_here.config_class, NetworkSettings)
    require_known_tokens(config, path)
    read_generation_config(folder, JsonObject)
    features = read_feature_settings(folder, num_mel_bins=config.encoder_config.num_mel_bins)
    with explained(path, "is of a network that cannot be built", advice=RELOAD_ADVICE):
        require_declared(folder, class_here, config)
    tokenizer = folder_tokenizer(folder)
    with explained(folder, "cannot be loaded", advice=RELOAD_ADVICE):
        network, report = class_here.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise InputError(f"{folder}: its weights are incomplete: {missing[0]} and {len(missing)} in all missing")
    require_finite(network_weights(network), where=str(folder))
    # the hub's copies skip layers at random in training, which ruins a fine-tuning
    network.config.encoder_config.layerdrop = 0.0
    for module in network.modules():
        if hasattr(module, "layerdrop"):
            module.layerdrop = 0.0
    with explained(path, "cannot be used", advice=RELOAD_ADVICE):
        prepare(network)
    return network.eval(), tokenizer, LogMel(features)
