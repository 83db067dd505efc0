"""A Canary's model_config.yaml -> its description, with transformers' configuration; the unsupported is refused.

Names of sections and settings are NeMo's: collections/asr/models/aed_multitask_models.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from transformers import CanaryConfig
from transformers.models.canary.configuration_canary import CanaryDecoderConfig

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, NUM_KEPT, NemoArchive
from eartune.families._nemo.features import feature_settings
from eartune.families._nemo.settings import NemoSection
from eartune.families._nemo.spec import (
    EncoderConfig,
    NemoSpec,
    encoder_config,
    encoder_output_dropouts,
    model_kind,
    require_plain_training,
)
from eartune.families._nemo.tokenizer import read_tokenizer
from eartune.families.canary.prompt import slot_defaults

_TOKENS = {
    "pad_token_id": "<pad>",
    "bos_token_id": "<|startoftranscript|>",
    "eos_token_id": "<|endoftext|>",
    "decoder_start_token_id": "<|startofcontext|>",
}


@lru_cache(maxsize=NUM_KEPT)
def read_spec(archive: NemoArchive) -> NemoSpec:
    """Return what an archive says of its model. Raises InputError for settings that are not supported."""
    require_plain_training(archive)
    kind = model_kind(archive)
    if kind != "canary":
        raise InputError(f"{archive.path}: is a Parakeet model, not a Canary; use the family parakeet")
    features = feature_settings(archive)
    encoder = encoder_config(archive, features)
    _require_plain_stack(archive, encoder.hidden_size)
    tokenizer = read_tokenizer(archive)
    missing = [piece for piece in _TOKENS.values() if piece not in tokenizer.pieces]
    if missing:
        raise InputError(
            f"{archive.path}: {CONFIG}: the tokenizer has no {missing[0]}; only prompts of Canary 2 are supported"
        )
    return NemoSpec(archive, kind, _network_config(archive, encoder, tokenizer.pieces), features, tokenizer)


def _network_config(archive: NemoArchive, encoder: EncoderConfig, pieces: Mapping[str, int]) -> CanaryConfig:
    decoder = archive.section("transf_decoder.config_dict")
    hidden_size = decoder.integer("hidden_size")
    decoder.require("learn_positional_encodings", False, False)
    decoder.require("hidden_act", "relu", "relu")
    decoder.require("pre_ln", False, True)
    num_heads = decoder.integer("num_attention_heads")
    # NeMo rounds the vocabulary up to a multiple of 8, for tensor cores
    vocab_size = 8 * -(-len(pieces) // 8)
    tokens = {name: pieces[piece] for name, piece in _TOKENS.items()}
    decoder_config = CanaryDecoderConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=decoder.integer("inner_size"),
        num_hidden_layers=decoder.integer("num_layers", most=1000),
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        head_dim=hidden_size // num_heads,
        hidden_act="relu",
        max_position_embeddings=decoder.integer("max_sequence_length", 512, most=100_000),
        attention_bias=True,
        attention_dropout=decoder.rate("attn_score_dropout", 0.0),
        **{name: tokens[name] for name in ("pad_token_id", "bos_token_id", "eos_token_id")},
    )
    dropouts = encoder_output_dropouts(encoder, r"model\.encoder") | _decoder_dropouts(archive, decoder)
    decoder.require_nothing_else(harmless={"num_token_types", "vocab_size"})
    return CanaryConfig(
        vocab_size=vocab_size,
        encoder_config=encoder,
        decoder_config=decoder_config,
        tie_word_embeddings=True,
        prompt_defaults=slot_defaults(archive.config.get("prompt_defaults")),
        output_dropouts=dropouts,
        **tokens,
    )


def _decoder_dropouts(archive: NemoArchive, decoder: NemoSection) -> dict[str, float]:
    """Return dropouts after the decoder's modules, by patterns of their names."""
    rates = {
        r"model\.decoder\.embedding_layernorm": decoder.rate("embedding_dropout", 0.0),
        r"model\.decoder\.layers\.\d+\.(self_attn|encoder_attn)": decoder.rate("attn_layer_dropout", 0.0),
        r"model\.decoder\.layers\.\d+\.mlp": decoder.rate("ffn_dropout", 0.0),
        r"model\.decoder\.norm": archive.section("head").rate("dropout", 0.0),
    }
    return {pattern: rate for pattern, rate in rates.items() if rate}


def _require_plain_stack(archive: NemoArchive, encoder_size: int) -> None:
    """Refuse settings with other modules between encoder, decoder and head, or in place of them."""
    if (found := archive.config.get("prompt_format")) != "canary2":
        raise InputError(
            f"{archive.path}: {CONFIG}: prompt_format is {found!r:.80}, and only 'canary2' is supported; "
            "tune this model with NeMo itself"
        )
    # NeMo adds a projection of the encoder states if these differ
    for name in ("asr_enc_hidden", "lm_dec_hidden"):
        archive.section("model_defaults").require(name, None, encoder_size)
    archive.section("transf_decoder").require("pre_ln_final_layer_norm", True, True)
    archive.section("transf_decoder").require("model_name", None, None)
    archive.section("transf_decoder.config_dict").require("hidden_size", None, encoder_size)
    if archive.config.get("transf_encoder") is not None:
        archive.section("transf_encoder").require("num_layers", 0, 0)
    head = archive.section("head")
    head.require_class("TokenClassifier")
    head.require("num_layers", 1, 1)
