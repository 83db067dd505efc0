"""Parakeet's .nemo archives as networks of transformers, and a network's weights as an archive has them.

Renamed weights; no values change. V tokens, of which the blank is the last; D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from transformers import (
    Nemotron3_5AsrConfig,
    NemotronAsrStreamingConfig,
    ParakeetCTCConfig,
    ParakeetForCTC,
    ParakeetRNNTConfig,
    ParakeetTDTConfig,
)

from eartune.errors import InputError
from eartune.families.parakeet.network import WITH_TOKENS, network_class, prepare_network
from eartune.families.parakeet.prompts import nemo_prompts
from eartune.model import Network
from eartune.nemo.architecture import (
    Kind,
    encoder_config,
    encoder_output_dropouts,
    is_streaming,
    model_kind,
    require_plain_training,
)
from eartune.nemo.archive import CONFIG, NemoArchive
from eartune.nemo.encoder_weights import encoder_name, renamed
from eartune.nemo.mapping import NameHere, build_network, weights_for_nemo
from eartune.nemo.tokenizer import piece_ids, tokenizer_model
from eartune.nemo.write_archive import NO_ROWS

_CTC = {"decoder.decoder_layers.0": "ctc_head"}
_TRANSDUCER = {
    "decoder.prediction.embed": "decoder.embedding",
    "decoder.prediction.dec_rnn.lstm": "decoder.lstm",
    "joint.pred": "decoder.decoder_projector",
    "joint.enc": "encoder_projector",
    # the activation is 0; dropout, where there is one, is 1
    "joint.joint_net.1": "joint.head",
    "joint.joint_net.2": "joint.head",
    "ctc_decoder.decoder_layers.0": "aux_ctc_head",
    "prompt_kernel.0": "prompt_projector.linear_1",
    # 1 is the activation
    "prompt_kernel.2": "prompt_projector.linear_2",
}


def from_nemo(archive: NemoArchive) -> Network:
    """Return the archive's network in float32, ready to train. Raises InputError for what cannot be mapped."""
    require_plain_training(archive)
    kind = model_kind(archive)
    if kind == "canary":
        raise InputError(f"{archive.path}: is a Canary model, not a Parakeet; name the family canary")
    if kind == "ctc":
        network = build_network(ParakeetForCTC, _ctc_config(archive), archive, _names(archive))
    else:
        config = _transducer_config(archive, kind)
        network = build_network(network_class(config.to_dict()), config, archive, _names(archive))
        _require_silent_start(network, archive)
    _require_tokens(network, archive)
    prepare_network(network)
    return network


def to_nemo(
    state: Mapping[str, torch.Tensor], archive: NemoArchive, *, more_rows: Mapping[str, int] = NO_ROWS
) -> dict[str, torch.Tensor]:
    """Return the weights of a network that came from `archive` under NeMo's names, in the archive's precision.

    `more_rows` are those of weights that were extended since.
    """
    return weights_for_nemo(state, archive, _names(archive), more_rows=more_rows)


def rows_for_more_tokens(archive: NemoArchive, num_more: int) -> dict[str, int]:
    """Return NeMo's names of the weights that have a row for each token, and `num_more` for each."""
    name_here = _names(archive)
    names = {name: name_here(name) or "" for name in archive.weight_shapes()}
    return {name: num_more for name, here in names.items() if here.rpartition(".")[0] in WITH_TOKENS}


def _names(archive: NemoArchive) -> NameHere:
    return partial(_name, streaming=is_streaming(archive))


def _name(name: str, *, streaming: bool) -> str | None:
    found = encoder_name(name, streaming=streaming)
    return found or renamed(name, _CTC if name.startswith("decoder.decoder_layers.") else _TRANSDUCER)


def _ctc_config(archive: NemoArchive) -> ParakeetCTCConfig:
    if is_streaming(archive):
        raise _streaming_problem(archive, "a CTC head alone")
    num_classes = _ctc_classes(archive, "decoder")
    return ParakeetCTCConfig(
        vocab_size=num_classes + 1,
        pad_token_id=num_classes,
        encoder_config=encoder_config(archive),
        output_dropouts=encoder_output_dropouts(archive, "encoder"),
    )


def _ctc_classes(archive: NemoArchive, name: str) -> int:
    head = archive.section(name)
    head.require_class("ConvASRDecoder")
    # NeMo fills in what is left open when it restores a model, and may save it as it was
    head.require("feat_in", None, None, -1, encoder_config(archive).hidden_size)
    head.require("add_blank", True, True)
    vocabulary = head.get("vocabulary", None)
    left_open = head.get("num_classes", None) is None
    num_classes = -1 if left_open else head.integer("num_classes", least=-1)
    head.require_nothing_else(harmless={"init_mode"})
    if num_classes > 0:
        return num_classes
    return len(vocabulary) if vocabulary and isinstance(vocabulary, list) else _num_pieces(archive)


def _streaming_problem(archive: NemoArchive, what: str) -> InputError:
    return InputError(
        f"{archive.path}: {CONFIG}: is a model with {what} for streaming (att_context_style: chunked_limited);"
        " supported are those with an RNN-T, alone or with a CTC head beside it; tune this model with NeMo itself"
    )


def _transducer_config(archive: NemoArchive, kind: Kind) -> Any:
    encoder = encoder_config(archive)
    decoder = archive.section("decoder")
    decoder.require_class("RNNTDecoder")
    decoder.require("normalization_mode", None, None)
    decoder.require("random_state_sampling", False, False)
    decoder.require("blank_as_pad", True, True)
    num_tokens = decoder.integer("vocab_size")
    decoder.get("prednet", None)
    decoder.require_nothing_else(harmless=())
    prediction = archive.section("decoder.prednet")
    hidden_size = prediction.integer("pred_hidden")
    prediction.require("rnn_hidden_size", -1, -1, hidden_size)
    num_layers = prediction.integer("pred_rnn_layers", most=100)
    prediction_dropout = prediction.rate("dropout", 0.0)
    prediction.require_nothing_else(
        harmless={"forget_gate_bias", "t_max", "weights_init_scale", "hidden_hidden_bias_scale"}
    )
    joint = archive.section("joint")
    joint.require_class("RNNTJoint")
    joint.require("masking_prob", -1.0, -1.0, -1, 0.0, 0)
    joint.require("num_classes", None, None, -1, num_tokens)
    num_extra = joint.integer("num_extra_outputs", 0, least=0)
    joint.get("jointnet", None)
    joint.require_nothing_else(harmless=_HARMLESS_IN_JOINT)
    network = archive.section("joint.jointnet")
    network.require("joint_hidden", None, hidden_size)
    network.require("pred_hidden", None, None, hidden_size)
    network.require("encoder_hidden", None, None, encoder.hidden_size)
    network.require("activation", None, "relu", "sigmoid", "tanh")
    activation = network.get("activation", None)
    joint_dropout = network.rate("dropout", 0.0)
    network.require_nothing_else(harmless=())

    dropouts = encoder_output_dropouts(archive, "encoder")
    dropouts |= {r"decoder\.lstm": prediction_dropout} if prediction_dropout else {}
    dropouts |= {r"joint\.activation": joint_dropout} if joint_dropout else {}
    settings: dict[str, Any] = {
        "vocab_size": num_tokens + 1,
        "decoder_hidden_size": hidden_size,
        "num_decoder_layers": num_layers,
        "hidden_act": activation,
        "encoder_config": encoder,
        "blank_token_id": num_tokens,
        # every token is a word's, so what fills labels is the blank
        "pad_token_id": num_tokens,
        "output_dropouts": dropouts,
        # between the layers of the prediction network
        "prediction_dropout": prediction_dropout,
    }
    if kind == "hybrid":
        auxiliary = archive.section("aux_ctc")
        num_ctc_tokens = _ctc_classes(archive, "aux_ctc.decoder")
        if num_ctc_tokens != num_tokens:
            raise InputError(
                f"{archive.path}: aux_ctc.decoder has {num_ctc_tokens} tokens and the transducer {num_tokens}; "
                "tune this model with NeMo itself"
            )
        settings["aux_ctc_loss_weight"] = auxiliary.rate("ctc_loss_weight", 0.5)
    if num_extra:
        if is_streaming(archive):
            raise _streaming_problem(archive, "a TDT")
        return ParakeetTDTConfig(**settings, **_durations(archive, num_extra))
    settings |= _rnnt_loss(archive)
    prompts = nemo_prompts(archive) if kind == "prompted" else None
    if prompts is not None:
        if not is_streaming(archive):
            raise InputError(
                f"{archive.path}: {CONFIG}: has prompts of languages and an encoder that sees whole clips;"
                " supported are those that stream (att_context_style: chunked_limited); tune this model with NeMo"
                " itself"
            )
        return Nemotron3_5AsrConfig(**settings, **prompts)
    return (NemotronAsrStreamingConfig if is_streaming(archive) else ParakeetRNNTConfig)(**settings)


def _rnnt_loss(archive: NemoArchive) -> dict[str, Any]:
    loss = archive.section("loss")
    loss.require("loss_name", "default", *_RNNT_LOSSES)
    # how a model for streaming too was made; ONLY_WHOLE_CLIPS in model.py is said of it
    made_with = _OF_UNIFIED if getattr(encoder_config(archive), "untrained_contexts", None) else ()
    loss.require_nothing_else(harmless=[*_settings_of_losses(archive), *made_with])
    name = loss.get("loss_name", "default")
    kwargs = f"{'warprnnt_numba' if name == 'default' else name}_kwargs"
    if loss.get(kwargs, None) is None:
        return {}
    _require_whole_gradients(archive, kwargs)
    fast_emit = archive.section(f"loss.{kwargs}").number("fastemit_lambda", 0.0)
    # under the name that a TDT has it by
    return {"tdt_loss": {"fastemit_lambda": fast_emit}} if fast_emit else {}


def _settings_of_losses(archive: NemoArchive) -> list[str]:
    # NeMo keeps those of the losses that are not chosen
    return [key for key in archive.config["loss"] if str(key).endswith("_kwargs")]


def _durations(archive: NemoArchive, num_extra: int) -> dict[str, Any]:
    loss = archive.section("loss")
    loss.require("loss_name", None, "tdt", "tdt_pytorch")
    loss.require_nothing_else(harmless=_settings_of_losses(archive))
    tdt = archive.section(f"loss.{loss.get('loss_name', None)}_kwargs")
    _require_whole_gradients(archive, f"{loss.get('loss_name', None)}_kwargs")
    durations = tdt.integers("durations")
    if len(durations) != num_extra:
        raise InputError(
            f"{archive.path}: the TDT loss has {len(durations)} durations and the joint network {num_extra} outputs "
            "for them; the archive does not fit together: save the model again"
        )
    return {
        "durations": durations,
        # how NeMo trains it; names of nemo/collections/asr/losses/rnnt.py
        "tdt_loss": {name: tdt.number(name, 0.0) for name in ("sigma", "omega", "fastemit_lambda")},
    }


def _require_whole_gradients(archive: NemoArchive, kwargs: str) -> None:
    # zero and below are off
    if (clamp := archive.section(f"loss.{kwargs}").number("clamp", -1.0)) > 0:
        raise InputError(
            f"{archive.path}: its loss cuts gradients at {clamp:g} (loss.{kwargs}.clamp), which is not supported; "
            "unpack the archive, set it to -1, and give the folder"
        )


def _require_silent_start(network: Network, archive: NemoArchive) -> None:
    if network.decoder.embedding.weight[network.config.blank_token_id].any():
        raise InputError(
            f"{archive.path}: the embedding of its blank is not zero, and NeMo begins hypotheses with zeros; "
            "the file is damaged or was changed: download or save the model again"
        )


def _num_pieces(archive: NemoArchive) -> int:
    return len(piece_ids(tokenizer_model(archive), where=f"{archive.path}: tokenizer"))


def _require_tokens(network: Network, archive: NemoArchive) -> None:
    num_pieces = _num_pieces(archive)
    if num_pieces + 1 != network.config.vocab_size:
        raise InputError(
            f"{archive.path}: its tokenizer has {num_pieces} tokens and its network {network.config.vocab_size - 1}; "
            "the archive does not fit together: save the model again"
        )


_OF_UNIFIED = ("offline_loss_weight", "streaming_loss_weight")
_RNNT_LOSSES = ("default", "warprnnt_numba", "warprnnt", "pytorch")
# how NeMo computes the loss, not what
_HARMLESS_IN_JOINT = frozenset(
    {"log_softmax", "preserve_memory", "fuse_loss_wer", "fused_batch_size", "experimental_fuse_loss_wer", "vocabulary"}
)
