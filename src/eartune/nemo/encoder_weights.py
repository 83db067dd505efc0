"""NeMo's names of weights -> transformers', for the FastConformer encoder; no values change."""

from __future__ import annotations

from collections.abc import Mapping

# applied to whole dotted parts
_ENCODER = {
    "pre_encode.conv": "subsampling.layers",
    "pre_encode.out": "subsampling.linear",
    "self_attn.linear_q": "self_attn.q_proj",
    "self_attn.linear_k": "self_attn.k_proj",
    "self_attn.linear_v": "self_attn.v_proj",
    "self_attn.linear_out": "self_attn.o_proj",
    "self_attn.linear_pos": "self_attn.relative_k_proj",
    "self_attn.pos_bias_u": "self_attn.bias_u",
    "self_attn.pos_bias_v": "self_attn.bias_v",
    "conv.batch_norm": "conv.norm",
}
# computed from the configuration, in NeMo a part of the weights
_FEATURES = "preprocessor.featurizer."


def renamed(name: str, renames: Mapping[str, str]) -> str:
    """Replace whole dotted parts of a name, in the order of `renames`."""
    dotted = f".{name}."
    for old, new in renames.items():
        dotted = dotted.replace(f".{old}.", f".{new}.")
    return dotted.strip(".")


def is_of_features(name: str) -> bool:
    """Say whether one of NeMo's names belongs to its log-mel features, which are no weights of a network."""
    return name.startswith(_FEATURES)


def encoder_name(name: str) -> str | None:
    """Return transformers' name of one of NeMo's encoder weights, or None for weights of other parts."""
    return renamed(name, _ENCODER) if name.startswith("encoder.") else None
