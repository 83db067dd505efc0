"""A Parakeet's model_config.yaml -> its description, with transformers' configuration; the unsupported is refused.

Names of sections and settings are NeMo's: collections/asr/models, modules/rnnt.py, losses/rnnt.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import (
    Nemotron3_5AsrConfig,
    NemotronAsrStreamingConfig,
    ParakeetCTCConfig,
    ParakeetRNNTConfig,
    ParakeetTDTConfig,
)

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, NUM_KEPT, NemoArchive
from eartune.families._nemo.features import feature_settings
from eartune.families._nemo.spec import (
    EncoderConfig,
    ModelKind,
    NemoSpec,
    encoder_config,
    encoder_output_dropouts,
    is_streaming,
    model_kind,
    require_plain_training,
)
from eartune.families._nemo.tokenizer import NemoTokenizer, read_tokenizer
from eartune.families.parakeet.prompts import nemo_prompts

_OF_UNIFIED = ("offline_loss_weight", "streaming_loss_weight")
_RNNT_LOSSES = ("default", "warprnnt_numba", "warprnnt", "pytorch")
# settings of how NeMo computes the loss, without effect on its value
_HARMLESS_IN_JOINT = frozenset(
    {"log_softmax", "preserve_memory", "fuse_loss_wer", "fused_batch_size", "experimental_fuse_loss_wer", "vocabulary"}
)


@lru_cache(maxsize=NUM_KEPT)
def read_spec(archive: NemoArchive) -> NemoSpec:
    """Return what an archive says of its model. Raises InputError for settings that are not supported."""
    require_plain_training(archive)
    kind = model_kind(archive)
    if kind == "canary":
        raise InputError(f"{archive.path}: is a Canary model, not a Parakeet; use the family canary")
    features = feature_settings(archive)
    encoder, tokenizer = encoder_config(archive, features), read_tokenizer(archive)
    if kind == "ctc":
        network = _ctc_config(archive, encoder, tokenizer)
    else:
        network = _transducer_config(archive, kind, encoder, tokenizer)
    _require_tokens(archive, tokenizer, network.vocab_size - 1)
    return NemoSpec(archive, kind, network, features, tokenizer)


def _require_tokens(archive: NemoArchive, tokenizer: NemoTokenizer, expected: int) -> None:
    num_tokens = len(tokenizer.pieces)
    if num_tokens != expected:
        raise InputError(
            f"{archive.path}: its tokenizer has {num_tokens} tokens and its network {expected}; "
            "the archive is inconsistent: save the model again"
        )


def _ctc_config(archive: NemoArchive, encoder: EncoderConfig, tokenizer: NemoTokenizer) -> ParakeetCTCConfig:
    if is_streaming(encoder):
        raise _streaming_problem(archive, "a CTC head alone")
    num_classes = _ctc_classes(archive, "decoder", encoder, tokenizer)
    return ParakeetCTCConfig(
        vocab_size=num_classes + 1,
        pad_token_id=num_classes,
        encoder_config=encoder,
        output_dropouts=encoder_output_dropouts(encoder, "encoder"),
    )


def _ctc_classes(archive: NemoArchive, name: str, encoder: EncoderConfig, tokenizer: NemoTokenizer) -> int:
    head = archive.section(name)
    head.require_class("ConvASRDecoder")
    # NeMo fills in open settings when it restores a model, and may save them open
    head.require("feat_in", None, None, -1, encoder.hidden_size)
    head.require("add_blank", True, True)
    vocabulary = head.get("vocabulary", None)
    is_open = head.get("num_classes", None) is None
    num_classes = -1 if is_open else head.integer("num_classes", least=-1)
    head.require_nothing_else(harmless={"init_mode"})
    if num_classes > 0:
        return num_classes
    return len(vocabulary) if vocabulary and isinstance(vocabulary, list) else len(tokenizer.pieces)


def _streaming_problem(archive: NemoArchive, what: str) -> InputError:
    return InputError(
        f"{archive.path}: {CONFIG}: is a model with {what} for streaming (att_context_style: chunked_limited);"
        " supported are those with an RNN-T, alone or with a CTC head; tune this model with NeMo itself"
    )


def _transducer_config(archive: NemoArchive, kind: ModelKind, encoder: EncoderConfig, tokenizer: NemoTokenizer) -> Any:
    """Return the configuration of a model with an RNN-T or TDT, of the class that transformers has for it."""
    prediction = _prediction_network(archive)
    joint = _joint_network(archive, prediction, encoder.hidden_size)
    dropouts = encoder_output_dropouts(encoder, "encoder")
    dropouts |= {r"decoder\.lstm": prediction.dropout} if prediction.dropout else {}
    dropouts |= {r"joint\.activation": joint.dropout} if joint.dropout else {}
    settings: dict[str, Any] = {
        "vocab_size": prediction.num_tokens + 1,
        "decoder_hidden_size": prediction.hidden_size,
        "num_decoder_layers": prediction.num_layers,
        "hidden_act": joint.activation,
        "encoder_config": encoder,
        "blank_token_id": prediction.num_tokens,
        # there is no padding token, so labels are padded with the blank
        "pad_token_id": prediction.num_tokens,
        "output_dropouts": dropouts,
        # between the layers of the prediction network
        "prediction_dropout": prediction.dropout,
    }
    if kind == "hybrid":
        settings["aux_ctc_loss_weight"] = _auxiliary_loss_weight(archive, prediction.num_tokens, encoder, tokenizer)
    if joint.num_durations:
        if is_streaming(encoder):
            raise _streaming_problem(archive, "a TDT")
        return ParakeetTDTConfig(**settings, **_durations(archive, joint.num_durations))
    settings |= _rnnt_loss(archive, encoder)
    prompts = nemo_prompts(archive, encoder.hidden_size) if kind == "prompted" else None
    if prompts is None:
        return (NemotronAsrStreamingConfig if is_streaming(encoder) else ParakeetRNNTConfig)(**settings)
    if not is_streaming(encoder):
        raise InputError(
            f"{archive.path}: {CONFIG}: has language prompts and an encoder for whole clips;"
            " supported are those that stream (att_context_style: chunked_limited); tune this model with NeMo itself"
        )
    return Nemotron3_5AsrConfig(**settings, **prompts)


@dataclass(frozen=True)
class _PredictionNetwork:
    num_tokens: int
    hidden_size: int
    num_layers: int
    dropout: float


def _prediction_network(archive: NemoArchive) -> _PredictionNetwork:
    decoder = archive.section("decoder")
    decoder.require_class("RNNTDecoder")
    decoder.require("normalization_mode", None, None)
    decoder.require("random_state_sampling", False, False)
    decoder.require("blank_as_pad", True, True)
    num_tokens = decoder.integer("vocab_size")
    decoder.get("prednet", None)
    decoder.require_nothing_else(harmless=())
    section = archive.section("decoder.prednet")
    hidden_size = section.integer("pred_hidden")
    section.require("rnn_hidden_size", -1, -1, hidden_size)
    found = _PredictionNetwork(
        num_tokens, hidden_size, section.integer("pred_rnn_layers", most=100), section.rate("dropout", 0.0)
    )
    section.require_nothing_else(
        harmless={"forget_gate_bias", "t_max", "weights_init_scale", "hidden_hidden_bias_scale"}
    )
    return found


@dataclass(frozen=True)
class _JointNetwork:
    num_durations: int
    activation: str
    dropout: float


def _joint_network(archive: NemoArchive, prediction: _PredictionNetwork, encoder_size: int) -> _JointNetwork:
    joint = archive.section("joint")
    joint.require_class("RNNTJoint")
    joint.require("masking_prob", -1.0, -1.0, -1, 0.0, 0)
    joint.require("num_classes", None, None, -1, prediction.num_tokens)
    num_durations = joint.integer("num_extra_outputs", 0, least=0)
    joint.get("jointnet", None)
    joint.require_nothing_else(harmless=_HARMLESS_IN_JOINT)
    network = archive.section("joint.jointnet")
    network.require("joint_hidden", None, prediction.hidden_size)
    network.require("pred_hidden", None, None, prediction.hidden_size)
    network.require("encoder_hidden", None, None, encoder_size)
    network.require("activation", None, "relu", "sigmoid", "tanh")
    found = _JointNetwork(num_durations, network.get("activation", None), network.rate("dropout", 0.0))
    network.require_nothing_else(harmless=())
    return found


def _auxiliary_loss_weight(
    archive: NemoArchive, num_tokens: int, encoder: EncoderConfig, tokenizer: NemoTokenizer
) -> float:
    """Return the weight of the auxiliary CTC loss."""
    num_ctc_tokens = _ctc_classes(archive, "aux_ctc.decoder", encoder, tokenizer)
    if num_ctc_tokens != num_tokens:
        raise InputError(
            f"{archive.path}: aux_ctc.decoder has {num_ctc_tokens} tokens and the transducer {num_tokens}; "
            "tune this model with NeMo itself"
        )
    return archive.section("aux_ctc").rate("ctc_loss_weight", 0.5)


def _rnnt_loss(archive: NemoArchive, encoder: EncoderConfig) -> dict[str, Any]:
    loss = archive.section("loss")
    loss.require("loss_name", "default", *_RNNT_LOSSES)
    # loss weights of models for streaming and whole clips, of which only whole clips are trained (ONLY_WHOLE_CLIPS)
    ignored = _OF_UNIFIED if getattr(encoder, "untrained_contexts", None) else ()
    loss.require_nothing_else(harmless=[*_settings_of_losses(archive), *ignored])
    name = loss.get("loss_name", "default")
    kwargs = f"{'warprnnt_numba' if name == 'default' else name}_kwargs"
    if loss.get(kwargs, None) is None:
        return {}
    _require_whole_gradients(archive, kwargs)
    fast_emit = archive.section(f"loss.{kwargs}").number("fastemit_lambda", 0.0)
    # under TDT's name, so that the loss reads one key
    return {"tdt_loss": {"fastemit_lambda": fast_emit}} if fast_emit else {}


def _settings_of_losses(archive: NemoArchive) -> list[str]:
    # NeMo keeps the settings of losses that are not used
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
            "for them; the archive is inconsistent: save the model again"
        )
    return {
        "durations": durations,
        # names of nemo/collections/asr/losses/rnnt.py
        "tdt_loss": {name: tdt.number(name, 0.0) for name in ("sigma", "omega", "fastemit_lambda")},
    }


def _require_whole_gradients(archive: NemoArchive, kwargs: str) -> None:
    # zero and below disable clamping
    if (clamp := archive.section(f"loss.{kwargs}").number("clamp", -1.0)) > 0:
        raise InputError(
            f"{archive.path}: its loss clamps gradients at {clamp:g} (loss.{kwargs}.clamp), which is not supported; "
            "unpack the archive, set it to -1, and give the folder"
        )
