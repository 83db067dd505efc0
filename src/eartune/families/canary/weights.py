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
from transformers import CanaryForConditionalGeneration

from eartune.errors import InputError
from eartune.families._nemo.archive import WEIGHTS
from eartune.families._nemo.network import build_network
from eartune.families._nemo.spec import NemoSpec
from eartune.families._nemo.weights import encoder_name, renamed, weights_for_nemo
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


def from_nemo(spec: NemoSpec) -> Network:
    """Return an archive's network in float32, ready to train. Raises InputError for weights that do not fit."""
    network = build_network(
        CanaryForConditionalGeneration,
        spec,
        _name,
        rearranged=_sines_first,
        check_others=partial(_require_sinusoids, where=f"{spec.path}: {WEIGHTS}"),
    )
    prepare_network(network)
    return network


def to_nemo(state: Mapping[str, torch.Tensor], spec: NemoSpec) -> dict[str, torch.Tensor]:
    """Return the weights of a network built from `spec`, with NeMo's names and the archive's precision."""
    if _HEAD in state and not torch.equal(state[_HEAD], state[_EMBEDDING]):
        raise InputError(
            f"{spec.path}: the head of the network differs from its token embedding, and an archive has one weight "
            "for both; train without adapting proj_out or embed_tokens"
        )
    untied = {name: value for name, value in state.items() if name != _HEAD}
    return weights_for_nemo(untied, spec.archive, _name, rearranged=_alternating)


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
