"""Parakeet's weights: .nemo archives -> transformers' networks, and back.

Weights are renamed; no values change. V tokens, of which the blank is the last; D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from eartune.errors import InputError
from eartune.families._nemo.network import build_network
from eartune.families._nemo.spec import NemoSpec
from eartune.families._nemo.weights import NameHere, encoder_name, renamed, weights_for_nemo
from eartune.families._nemo.write_archive import NO_ROWS
from eartune.families.parakeet.network import WITH_TOKENS, network_class, prepare_network
from eartune.model import Network

_CTC = {"decoder.decoder_layers.0": "ctc_head"}
_TRANSDUCER = {
    "decoder.prediction.embed": "decoder.embedding",
    "decoder.prediction.dec_rnn.lstm": "decoder.lstm",
    "joint.pred": "decoder.decoder_projector",
    "joint.enc": "encoder_projector",
    # index 0 is the activation, index 1 the optional dropout
    "joint.joint_net.1": "joint.head",
    "joint.joint_net.2": "joint.head",
    "ctc_decoder.decoder_layers.0": "aux_ctc_head",
    "prompt_kernel.0": "prompt_projector.linear_1",
    # index 1 is the activation
    "prompt_kernel.2": "prompt_projector.linear_2",
}


def from_nemo(spec: NemoSpec) -> Network:
    """Return an archive's network in float32, ready to train. Raises InputError for weights that do not fit."""
    network = build_network(network_class(spec.network.to_dict()), spec, _names(spec))
    if spec.kind != "ctc":
        _require_zero_blank(network, spec)
    prepare_network(network)
    return network


def to_nemo(
    state: Mapping[str, torch.Tensor], spec: NemoSpec, *, more_rows: Mapping[str, int] = NO_ROWS
) -> dict[str, torch.Tensor]:
    """Return the weights of a network built from `spec`, with NeMo's names and the archive's precision.

    `more_rows` are the numbers of rows added to weights since.
    """
    return weights_for_nemo(state, spec.archive, _names(spec), more_rows=more_rows)


def rows_for_more_tokens(spec: NemoSpec, num_more: int) -> dict[str, int]:
    """Return NeMo's names of the weights with a row per token, each with `num_more`."""
    name_here = _names(spec)
    names = {name: name_here(name) or "" for name in spec.archive.weight_shapes()}
    return {name: num_more for name, here in names.items() if here.rpartition(".")[0] in WITH_TOKENS}


def _names(spec: NemoSpec) -> NameHere:
    return partial(_name, streaming=spec.streams)


def _name(name: str, *, streaming: bool) -> str | None:
    found = encoder_name(name, streaming=streaming)
    return found or renamed(name, _CTC if name.startswith("decoder.decoder_layers.") else _TRANSDUCER)


def _require_zero_blank(network: Network, spec: NemoSpec) -> None:
    if network.decoder.embedding.weight[network.config.blank_token_id].any():
        raise InputError(
            f"{spec.path}: the embedding of its blank is not zero, and NeMo starts hypotheses with zeros; "
            "the file is damaged or was changed: download or save the model again"
        )
