"""NeMo's names of weights -> transformers', for the FastConformer encoder; and a network's weights for a .nemo file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch

from eartune.errors import InputError
from eartune.families._nemo.archive import NemoArchive
from eartune.families._nemo.write_archive import NO_ROWS, grown
from eartune.weights import is_finite, type_name

# NeMo's name -> transformers', or None for a tensor that is not a network weight and is kept unchanged
NameHere = Callable[[str], str | None]
# transformers' name and a tensor -> the tensor rearranged
Rearranged = Callable[[str, torch.Tensor], torch.Tensor]

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


def network_name(name: str, name_here: NameHere) -> str | None:
    """Return transformers' name of a network weight; None for other tensors of an archive."""
    return None if is_of_features(name) else name_here(name)


def unchanged(_name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor as it is."""
    return tensor


def weights_for_nemo(
    state: Mapping[str, torch.Tensor],
    archive: NemoArchive,
    name_here: NameHere,
    *,
    rearranged: Rearranged = unchanged,
    more_rows: Mapping[str, int] = NO_ROWS,
) -> dict[str, torch.Tensor]:
    """Return a network's weights under the archive's names, in its order and precision; other tensors are kept.

    `more_rows` maps weights that have additional rows in the network to their number.
    """
    converted: dict[str, torch.Tensor] = {}
    result: dict[str, torch.Tensor] = {}
    originals = archive.weights()
    for name in list(originals):
        original = originals.pop(name)
        here = network_name(name, name_here)
        if here is None:
            result[name] = original
            continue
        expected = grown(rearranged(here, original).shape, more_rows.get(name, 0))
        if here not in state or state[here].shape != expected:
            raise InputError(
                f"{archive.path}: the network has no {here} of the shape of {name}; it came from another model"
            )
        if here not in converted:
            converted[here] = rearranged(here, state[here].detach().to("cpu", original.dtype))
            if not is_finite(converted[here]):
                raise InputError(
                    f"{archive.path}: {here} has values that are NaN, infinite or too large for the archive's "
                    f"{type_name(original.dtype)}; nothing was written"
                )
        result[name] = converted[here]
    unused = sorted(state.keys() - converted.keys())
    if unused:
        raise InputError(
            f"{archive.path}: has no counterpart of {unused[0]} ({len(unused)} weights in all); merge adapters first"
        )
    return result
