"""The model of a .nemo file as its model_config.yaml describes it: kind, network, features, tokenizer.

What the families share is read here; unsupported settings are refused. Defaults are those of NeMo's classes
(nemo/collections/asr/modules/conformer_encoder.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from transformers import NemotronAsrStreamingEncoderConfig, ParakeetEncoderConfig

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, NemoArchive, read_archive
from eartune.families._nemo.features import MIN_POSITIONS, FeatureSettings
from eartune.families._nemo.settings import NemoSection
from eartune.families._nemo.tokenizer import NemoTokenizer

EncoderConfig: TypeAlias = ParakeetEncoderConfig | NemotronAsrStreamingEncoderConfig
ModelKind: TypeAlias = Literal["ctc", "transducer", "hybrid", "prompted", "canary"]

# the last part of `target`, the class that NeMo restores
KINDS: dict[str, ModelKind] = {
    "EncDecCTCModelBPE": "ctc",
    "EncDecRNNTBPEModel": "transducer",
    "EncDecRNNTBPEModelWithPrompt": "prompted",
    "EncDecHybridRNNTCTCBPEModel": "hybrid",
    "EncDecMultiTaskModel": "canary",
}
PROBABILITIES_TOLERANCE = 1e-3
# modules of transformers' encoder to whose output NeMo applies dropout, and transformers does not
_DROPPED_OUT = r"layers\.\d+\.(feed_forward1|self_attn|conv|feed_forward2)"


@dataclass(frozen=True, eq=False)
class NemoSpec:
    """All that is asked of a model's configuration; its network is built from this, and written back as it.

    Each family's configuration.py reads it (`read_spec`), once for a file that does not change.
    """

    archive: NemoArchive
    """the file, for weights and other members"""
    kind: ModelKind
    network: Any
    """transformers' configuration of the network, with rates of dropout and settings of the loss; not to be changed"""
    features: FeatureSettings
    tokenizer: NemoTokenizer

    @property
    def path(self) -> Path:
        return self.archive.path

    @property
    def streams(self) -> bool:
        """Whether the encoder has limited attention context: some past frames, and a few frames of lookahead."""
        return is_streaming(self.network.encoder_config)


def model_kind(archive: NemoArchive) -> ModelKind:
    """Return the kind of an archive's model. Raises InputError if it is neither a Parakeet nor a Canary."""
    target = archive.config.get("target")
    name = target.rsplit(".", 1)[-1] if isinstance(target, str) else None
    if name not in KINDS:
        raise InputError(
            f"{archive.path}: holds a model of class {name!r}; supported are {', '.join(KINDS)}; "
            "tune this model with NeMo itself"
        )
    return KINDS[name]


def known_config(path: Path) -> Mapping[str, Any]:
    """Return the configuration of a .nemo file. Raises InputError if it is neither a Parakeet nor a Canary."""
    archive = read_archive(path)
    model_kind(archive)
    return archive.config


def encoder_config(archive: NemoArchive, features: FeatureSettings) -> EncoderConfig:
    """Return the configuration of an encoder for `features`; `max_position_embeddings` is in encoder frames.

    For streaming encoders (`att_context_style: chunked_limited`) it is a NemotronAsrStreamingEncoderConfig.
    """
    encoder = archive.section("encoder")
    encoder.require_class("ConformerEncoder")
    hidden_size = encoder.integer("d_model")
    kernel_size = encoder.integer("conv_kernel_size", 31)
    _require_known_layers(encoder, hidden_size)
    streams = encoder.get("att_context_style", "regular") == "chunked_limited"
    context = _streaming_context(encoder, kernel_size) if streams else _whole_context(encoder, kernel_size)
    subsampling = _subsampling(archive, encoder, features, streams=streams)
    bias = encoder.flag("use_bias", True)
    config = (NemotronAsrStreamingEncoderConfig if streams else ParakeetEncoderConfig)(
        hidden_size=hidden_size,
        num_hidden_layers=encoder.integer("n_layers", most=1000),
        num_attention_heads=encoder.integer("n_heads", 4),
        intermediate_size=hidden_size * encoder.integer("ff_expansion_factor", 4),
        hidden_act="silu",
        attention_bias=bias,
        convolution_bias=bias,
        conv_kernel_size=kernel_size,
        dropout=encoder.rate("dropout_pre_encoder", 0.1),
        dropout_positions=encoder.rate("dropout_emb", 0.1),
        activation_dropout=encoder.rate("dropout", 0.1),
        attention_dropout=encoder.rate("dropout_att", 0.0),
        layerdrop=0.0,
        # NeMo lengthens its table as it needs
        max_position_embeddings=max(encoder.integer("pos_emb_max_len", 5000), MIN_POSITIONS),
        scale_input=encoder.flag("xscaling", True),
        **subsampling,
        **context,
    )
    encoder.require_nothing_else(harmless=_HARMLESS)
    return config


def _require_known_layers(encoder: NemoSection, hidden_size: int) -> None:
    encoder.require("feat_out", -1, -1, hidden_size)
    encoder.require("subsampling", "striding", "dw_striding")
    encoder.require("self_attention_model", "rel_pos", "rel_pos")
    encoder.require("untie_biases", True, True)
    encoder.require("reduction", None, None)
    encoder.require("stochastic_depth_drop_prob", 0.0, 0.0)
    encoder.require("global_tokens", 0, 0)
    encoder.require("att_context_style", "regular", "regular", "chunked_limited", "chunked_limited_with_rc")


def _subsampling(
    archive: NemoArchive, encoder: NemoSection, features: FeatureSettings, *, streams: bool
) -> dict[str, int]:
    """Return the convolutions before the first layer, as options of transformers."""
    factor = encoder.integer("subsampling_factor", 4, least=2, most=64)
    num_mel_bins = encoder.integer("feat_in")
    encoder.require("feat_in", None, features.feature_size)
    if factor & (factor - 1) or (num_mel_bins % factor and not streams):
        raise InputError(
            f"{archive.path}: {CONFIG}: encoder.subsampling_factor is {factor} and feat_in {num_mel_bins}; supported "
            "are powers of two that divide feat_in; tune this model with NeMo itself"
        )
    channels = encoder.integer("subsampling_conv_channels", -1, least=-1)
    return {
        "subsampling_factor": factor,
        "subsampling_conv_channels": encoder.integer("d_model") if channels == -1 else channels,
        "subsampling_conv_kernel_size": 3,
        "subsampling_conv_stride": 2,
        "num_mel_bins": num_mel_bins,
    }


def is_streaming(encoder: EncoderConfig) -> bool:
    """Return whether an encoder has limited attention context (`att_context_style: chunked_limited`)."""
    return isinstance(encoder, NemotronAsrStreamingEncoderConfig)


def _whole_context(encoder: NemoSection, kernel_size: int) -> dict[str, Any]:
    """Check that an encoder attends to whole clips.

    One for both modes (`chunked_limited_with_rc`) does so when NeMo trains on clips or decodes them: its streaming
    contexts are returned, as they are not trained here.
    """
    same_padding = (kernel_size - 1) // 2
    encoder.require("causal_downsampling", False, False)
    encoder.require("att_context_size", None, None, [-1, -1], [[-1, -1]], [-1, -1, -1])
    encoder.require("conv_norm_type", "batch_norm", "batch_norm")
    encoder.require("conv_context_size", None, None, same_padding, [same_padding, same_padding])
    if encoder.get("att_context_style", "regular") == "regular":
        encoder.require("att_chunk_context_size", None, None)
        encoder.require("conv_context_style", "regular", "regular")
        return {}
    encoder.require("conv_context_style", "regular", "regular", "dcc")
    return {"untrained_contexts": encoder.get("att_chunk_context_size", None) or []}


def _streaming_context(encoder: NemoSection, kernel_size: int) -> dict[str, Any]:
    """Return the past and lookahead frames of a streaming encoder, as options of transformers.

    In training NeMo samples one of the contexts for each batch (`att_context_probs`); otherwise it uses the first.
    """
    encoder.require("causal_downsampling", False, True)
    encoder.require("conv_norm_type", "batch_norm", "layer_norm")
    encoder.require("conv_context_size", None, "causal", [kernel_size - 1, 0])
    encoder.require("conv_context_style", "regular", "regular")
    encoder.require("att_chunk_context_size", None, None)
    contexts = encoder.integer_pairs("att_context_size")
    past = contexts[0][0]
    for left, ahead in contexts:
        if left != past or left < 0 or ahead < 0 or left % (ahead + 1):
            raise encoder.unsupported(
                "att_context_size", "contexts with the same limited left context, a multiple of lookahead + 1"
            )
    probabilities = encoder.get("att_context_probs", None) or [1 / len(contexts)] * len(contexts)
    if (
        not isinstance(probabilities, list)
        or len(probabilities) != len(contexts)
        or not all(isinstance(each, int | float) and each >= 0 for each in probabilities)
        or abs(sum(probabilities) - 1) > PROBABILITIES_TOLERANCE
    ):
        raise encoder.unsupported("att_context_probs", "one probability for each context, summing to 1")
    return {
        "sliding_window": past + 1,
        "default_num_lookahead_tokens": contexts[0][1],
        "lookaheads": [ahead for _, ahead in contexts],
        "lookahead_probabilities": [float(each) for each in probabilities],
    }


def encoder_output_dropouts(encoder: EncoderConfig, prefix: str) -> dict[str, float]:
    """Return dropouts after the encoder's modules, for `network.attach_dropouts`; `prefix` is the encoder's name."""
    # NeMo has one rate for these and for the activations
    rate = encoder.activation_dropout
    return {rf"{prefix}\.{_DROPPED_OUT}": rate} if rate else {}


def require_plain_training(archive: NemoArchive) -> None:
    """Raise InputError for settings outside the encoder that change the loss or the modules of the model."""
    config = archive.config
    where = f"{archive.path}: {CONFIG}"
    if config.get("adapters"):
        raise InputError(f"{where}: adapters are attached; merge or remove them with NeMo first")
    interctc = config.get("interctc")
    if isinstance(interctc, dict) and interctc.get("loss_weights"):
        raise InputError(
            f"{where}: interctc.loss_weights is set, and losses of intermediate layers are not supported;"
            " tune this model with NeMo itself"
        )


# settings of how NeMo computes, which do not change results
_HARMLESS = frozenset(
    {
        "att_context_probs", "global_attn_separate", "global_tokens_spacing", "reduction_factor", "reduction_position",
        "stochastic_depth_mode", "stochastic_depth_start_layer", "subsampling_conv_chunking_factor",
        "sync_max_audio_length", "use_pytorch_sdpa", "use_pytorch_sdpa_backends",
    }
)  # fmt: skip
