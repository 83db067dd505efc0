"""Canary's weights: .nemo archives -> transformers' networks, and back.

NeMo's position embedding alternates sines and cosines, transformers' has all sines first. So the channels of the
decoder's residual stream are permuted in all weights, without loss, and permuted back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
from transformers import CanaryConfig, CanaryForConditionalGeneration
from transformers.models.canary.configuration_canary import CanaryDecoderConfig

from eartune.errors import InputError
from eartune.families._nemo.architecture import (
    encoder_config,
    encoder_output_dropouts,
    model_kind,
    require_plain_training,
)
from eartune.families._nemo.archive import CONFIG, WEIGHTS, NemoArchive
from eartune.families._nemo.encoder_weights import encoder_name, renamed
from eartune.families._nemo.mapping import build_network, weights_for_nemo
from eartune.families._nemo.tokenizer import piece_ids, tokenizer_model
from eartune.families.canary.network import prepare_network
from eartune.model import Network

_EMBEDDING = "model.decoder.embed_tokens.weight"
_HEAD = "proj_out.weight"
# replacements of complete parts between dots
_DECODER = {
    # the head is the token embedding
    "log_softmax.mlp.layer0.weight": _EMBEDDING,
    "log_softmax.mlp.layer0": "proj_out",
    "transf_decoder._embedding.token_embedding": "model.decoder.embed_tokens",
    "transf_decoder._embedding.layer_norm": "model.decoder.embedding_layernorm",
    "transf_decoder._decoder.final_layer_norm": "model.decoder.norm",
    "transf_decoder._decoder.layers": "model.decoder.layers",
    "layer_norm_1": "input_layernorm",
    "layer_norm_2": "post_attention_layernorm",
    "layer_norm_3": "final_layernorm",
    "first_sub_layer": "self_attn",
    "second_sub_layer": "encoder_attn",
    "query_net": "q_proj",
    "key_net": "k_proj",
    "value_net": "v_proj",
    "out_projection": "o_proj",
    "third_sub_layer.dense_in": "mlp.fc1",
    "third_sub_layer.dense_out": "mlp.fc2",
}
# fixed sinusoids, and token types, which speech models do not use
_POSITIONS = "transf_decoder._embedding.position_embedding.pos_enc"
_NO_WEIGHTS = (_POSITIONS, "transf_decoder._embedding.token_type_embedding.")
# of the sinusoids, whose values are at most 1
_TOLERANCE = 1e-4

# weights with the residual stream as input have its channels in columns, those with it as output in rows
_READS = re.compile(
    r"model\.decoder\.(embed_tokens|layers\.\d+\.(self_attn\.[qkv]_proj|encoder_attn\.q_proj|mlp\.fc1))\.weight"
)
_WRITES = re.compile(
    r"model\.decoder\.(\w*norm|layers\.\d+\.(\w*norm|(self|encoder)_attn\.o_proj|mlp\.fc2))\.(weight|bias)"
)

_TOKENS = {
    "pad_token_id": "<pad>",
    "bos_token_id": "<|startoftranscript|>",
    "eos_token_id": "<|endoftext|>",
    "decoder_start_token_id": "<|startofcontext|>",
}


def from_nemo(archive: NemoArchive) -> Network:
    """Return the archive's network in float32, ready to train. Raises InputError for unsupported archives."""
    require_plain_training(archive)
    if model_kind(archive) != "canary":
        raise InputError(f"{archive.path}: is a Parakeet model, not a Canary; use the family parakeet")
    network = build_network(
        CanaryForConditionalGeneration,
        _config(archive),
        archive,
        _name,
        rearranged=_sines_first,
        check_others=partial(_require_sinusoids, where=f"{archive.path}: {WEIGHTS}"),
    )
    prepare_network(network)
    return network


def to_nemo(state: Mapping[str, torch.Tensor], archive: NemoArchive) -> dict[str, torch.Tensor]:
    """Return the weights of a network built from `archive`, with NeMo's names and the archive's precision."""
    if _HEAD in state and not torch.equal(state[_HEAD], state[_EMBEDDING]):
        raise InputError(
            f"{archive.path}: the head of the network differs from its token embedding, and an archive has one weight "
            "for both; train without adapting proj_out or embed_tokens"
        )
    untied = {name: value for name, value in state.items() if name != _HEAD}
    return weights_for_nemo(untied, archive, _name, rearranged=_alternating)


def _name(name: str) -> str | None:
    encoder = encoder_name(name)
    if encoder is not None:
        return f"model.{encoder}"
    return None if name.startswith(_NO_WEIGHTS) else renamed(name, _DECODER)


def _sines_first(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return _reordered(name, tensor, lambda size: torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2)]))


def _alternating(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return _reordered(name, tensor, lambda size: torch.arange(size).view(2, size // 2).T.reshape(size))


def _reordered(name: str, tensor: torch.Tensor, order: Callable[[int], torch.Tensor]) -> torch.Tensor:
    if _READS.fullmatch(name):
        return tensor[:, order(tensor.shape[1])]
    return tensor[order(tensor.shape[0])] if _WRITES.fullmatch(name) else tensor


def _config(archive: NemoArchive) -> CanaryConfig:
    where = f"{archive.path}: {CONFIG}"
    encoder = encoder_config(archive)
    _require_plain_stack(archive, encoder.hidden_size)
    pieces = piece_ids(tokenizer_model(archive), where=f"{archive.path}: tokenizer")
    missing = [piece for piece in _TOKENS.values() if piece not in pieces]
    if missing:
        raise InputError(f"{where}: the tokenizer has no {missing[0]}; only prompts of Canary 2 are supported")
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
    rates = {
        r"model\.decoder\.embedding_layernorm": decoder.rate("embedding_dropout", 0.0),
        r"model\.decoder\.layers\.\d+\.(self_attn|encoder_attn)": decoder.rate("attn_layer_dropout", 0.0),
        r"model\.decoder\.layers\.\d+\.mlp": decoder.rate("ffn_dropout", 0.0),
        r"model\.decoder\.norm": archive.section("head").rate("dropout", 0.0),
    }
    decoder.require_nothing_else(harmless={"num_token_types", "vocab_size"})
    return CanaryConfig(
        vocab_size=vocab_size,
        encoder_config=encoder,
        decoder_config=decoder_config,
        tie_word_embeddings=True,
        output_dropouts={
            **encoder_output_dropouts(archive, r"model\.encoder"),
            **{pattern: rate for pattern, rate in rates.items() if rate},
        },
        **tokens,
    )


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


def _require_sinusoids(tensors: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Refuse position embeddings other than alternating sines and cosines [P, D], which transformers computes."""
    if _POSITIONS not in tensors:
        return
    table_PD = tensors[_POSITIONS].float()
    length, size = (*table_PD.shape, 2, 2)[:2]
    rates = torch.exp(torch.arange(0, size, 2) * (-math.log(10_000.0) / size))
    angles = torch.arange(length)[:, None] * rates
    expected_PD = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1) / math.sqrt(size)
    if table_PD.shape != expected_PD.shape or not torch.allclose(table_PD, expected_PD, atol=_TOLERANCE):
        raise InputError(f"{where}: {_POSITIONS} are not NeMo's sinusoids; tune this model with NeMo itself")
