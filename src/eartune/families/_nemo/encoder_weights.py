"""NeMo's weight names -> transformers', for the FastConformer encoder; values do not change."""

from __future__ import annotations

import re
from collections.abc import Mapping

# replaced as complete dotted parts
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
# computed here from the configuration; NeMo stores them with the weights
_FEATURES = "preprocessor.featurizer."


def renamed(name: str, renames: Mapping[str, str]) -> str:
    """Replace complete dotted parts of a name, in the order of `renames`."""
    dotted = f".{name}."
    for old, new in renames.items():
        dotted = dotted.replace(f".{old}.", f".{new}.")
    return dotted.strip(".")


def is_of_features(name: str) -> bool:
    """Return whether a NeMo name belongs to its log-mel features, which are not network weights."""
    return name.startswith(_FEATURES)


def encoder_name(name: str, *, streaming: bool = False) -> str | None:
    """Return transformers' name of one of NeMo's encoder weights, or None for weights of other parts.

    The subsampling of streaming encoders is named differently: one convolution, then pairs of them.
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
