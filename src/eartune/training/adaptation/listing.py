"""Listing of trained parameters: counts by block, and the first modules and parameters by name."""

from __future__ import annotations

from dataclasses import dataclass

from peft.tuners.lora import LoraLayer
from torch import nn

from eartune.model import Blocks
from eartune.training.adaptation.unfreezing import NORMS

PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True)
class ParameterCount:
    """Number of weights of a block, and how many of them are trained."""

    block: str
    total: int
    trained: int


def count_parameters(network: nn.Module, blocks: Blocks) -> list[ParameterCount]:
    """Count weights in encoder, decoder, head and the rest; weights that blocks share count in the first of them."""
    decoder = () if blocks.decoder is None else (blocks.decoder,)
    named = {"encoder": (blocks.encoder,), "decoder": decoder, "head": blocks.head}
    totals = {block: [0, 0] for block in (*named, "other")}
    for name, parameter in network.named_parameters():
        dotted = f".{name}."
        within = (block for block, names in named.items() if any(f".{each}." in dotted for each in names))
        block = next(within, "other")
        totals[block][0] += parameter.numel()
        totals[block][1] += parameter.numel() if parameter.requires_grad else 0
    return [ParameterCount(block, *counts) for block, counts in totals.items() if counts[0]]


def count_norms(network: nn.Module) -> ParameterCount:
    """Count the weights of all norms, which are part of the blocks too."""
    weights = [p for module in network.modules() if isinstance(module, NORMS) for p in module.parameters()]
    return ParameterCount("norms", sum(p.numel() for p in weights), sum(p.numel() for p in weights if p.requires_grad))


def list_trained(network: nn.Module, count: int) -> list[str]:
    """Describe the first `count` modules that have adapters, and as many parameters that are trained in full."""
    adapted = [
        f"adapter on {_plain(name)} {_shape(module.base_layer.weight)}, rank {next(iter(module.r.values()))}"
        for name, module in network.named_modules()
        if isinstance(module, LoraLayer)
    ]
    inside = {id(p) for module in network.modules() if isinstance(module, LoraLayer) for p in module.parameters()}
    # a bias under an adapter is not part of it
    inside -= {id(p) for m in network.modules() if isinstance(m, LoraLayer) for p in m.base_layer.parameters()}
    in_full = [
        f"in full {_plain(name)} {_shape(parameter)}"
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and id(parameter) not in inside
    ]
    return adapted[:count] + in_full[:count]


def _plain(name: str) -> str:
    return name.removeprefix(PEFT_PREFIX).replace(".base_layer", "")


def _shape(weight: nn.Parameter) -> str:
    return "x".join(map(str, weight.shape))
