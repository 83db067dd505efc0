"""NeMo's names of weights -> transformers', for the FastConformer encoder; no values change."""

from __future__ import annotations

import re
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
_SUBSAMPLING = re.compile(r"encoder\.pre_encode\.conv\.(\d+)\.(\w+)")
# computed from the configuration, in NeMo a part of the weights
_FEATURES = "preprocessor.featurizer."


def renamed(name: str, renames: Mapping[str, str]) -> str:
    """Replace whole dotted parts of a name, in the order of `renames`."""
    dotted = f".{name}."
    for old, new in renames.items():
        dotted = dotted.replace(f".{old}.", f".{new}.")
    return dotted.strip(".")


def is_of_features(name: str) -> bool:
    """Say whether one of NeMo's names belongs to its log-mel features, which are not weights of a network."""
    return name.startswith(_FEATURES)


def encoder_name(name: str, *, streaming: bool = False) -> str | None:
    """Return transformers' name of one of NeMo's encoder weights, or None for weights of other parts.

    An encoder that streams has its subsampling in pieces: one convolution, then pairs of them.
    """
    if not name.startswith("encoder."):
        return None
    if streaming and (match := _SUBSAMPLING.fullmatch(name)):
        number, weight = int(match[1]), match[2]
        if number == 0:
            return f"encoder.subsampling.conv_in.{weight}"
        # NeMo counts the activation after each pair
        pair, place = divmod(number - 2, 3)
        return f"encoder.subsampling.layers.{pair}.{('depthwise_conv', 'pointwise_conv')[place % 2]}.{weight}"
    return renamed(name, _ENCODER)
