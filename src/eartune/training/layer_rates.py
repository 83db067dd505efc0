"""Layer-wise learning rate decay, from the head down to the first layer of the encoder.

Lower layers hold general features and need to change less (discriminative fine-tuning, arXiv 1801.06146; the factor per
layer of ELECTRA, arXiv 2003.10555).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import nn

from eartune.model import Blocks, block_of


def depths(network: nn.Module, blocks: Blocks) -> dict[str, int]:
    """Return for each parameter the number of layers above its own.

    The head and the last decoder layer have 0, and the encoder continues the count below the decoder; without decoder
    layers the last encoder layer has 0. Modules before the layers of a block (embeddings, convolutions) are one below
    its first layer, modules after them (a final norm) count with its last. Weights that the head shares with the
    embedding count with the head; modules outside of layers and encoder (a joint, a prediction network) have 0.
    """
    num_decoder = 0 if blocks.decoder_layers is None else _num_layers(network, blocks.decoder_layers)
    head = {id(parameter) for name in blocks.head for parameter in block_of(network, name).parameters()}
    found: dict[str, int] = {}
    seen_layers: set[str] = set()
    for name, parameter in network.named_parameters():
        if id(parameter) in head:
            found[name] = 0
        elif _index(name, blocks.encoder) is not None:
            num_encoder = _num_layers(network, blocks.encoder_layers)
            found[name] = num_decoder + _depth(name, blocks.encoder_layers, num_encoder, seen_layers)
        elif blocks.decoder_layers is not None and blocks.decoder and _index(name, blocks.decoder) is not None:
            found[name] = _depth(name, blocks.decoder_layers, num_decoder, seen_layers)
        else:
            found[name] = 0
    return found


def slow_down_lower_layers(optimizer: torch.optim.Optimizer, network: nn.Module, blocks: Blocks, decay: float) -> str:
    """Split the optimiser's groups by depth, each with its learning rate; return a line that reports the rates.

    The highest trained layer keeps the optimiser's rate. Other settings of a group (weight decay) stay.
    """
    by_id = {id(parameter): name for name, parameter in network.named_parameters()}
    depth_of = depths(network, blocks)
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        by_depth: dict[int, list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            by_depth[depth_of[by_id[id(parameter)]]].append(parameter)
        groups += [{**group, "params": params, "depth": depth} for depth, params in by_depth.items()]
    # the first group's rate is the one that is logged
    groups.sort(key=lambda group: group["depth"])
    highest, lowest = groups[0]["depth"], groups[-1]["depth"]
    for group in groups:
        group["lr"] *= decay ** (group.pop("depth") - highest)
    optimizer.param_groups[:] = groups
    return (
        f"layerwise_lr_decay {decay:g}: learning rate {groups[0]['lr']:.3g} in the highest layer trained, "
        f"{groups[-1]['lr']:.3g} in the lowest, {lowest - highest} layers below"
    )


def _depth(name: str, layers: str, num_layers: int, seen_layers: set[str]) -> int:
    """Count from the top of one block. Call it in the order of the parameters, which is that of their modules."""
    index = _index(name, layers)
    if index is None:
        return 0 if layers in seen_layers else num_layers
    seen_layers.add(layers)
    return num_layers - 1 - index


def _index(name: str, block: str) -> int | None:
    """Return the number that follows the block's name, 0 where it is not a number, or None outside of the block."""
    _, found, rest = f".{name}".partition(f".{block}.")
    if not found:
        return None
    first = rest.partition(".")[0]
    return int(first) if first.isdigit() else 0


def _num_layers(network: nn.Module, layers: str) -> int:
    return len(list(block_of(network, layers).children()))
