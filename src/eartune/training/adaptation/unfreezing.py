"""Partial training: the modules and biases that are trained in full while the rest of the network is frozen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import nn

from eartune.config.partial import PartialSection
from eartune.errors import raise_findings
from eartune.model import Blocks

NORMS = (nn.LayerNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Unfrozen:
    """Weights trained in full: the names of whole modules, and all parameters, of those modules and single ones."""

    modules: tuple[str, ...] = ()
    parameters: tuple[nn.Parameter, ...] = ()
    notes: tuple[str, ...] = ()


def select_unfrozen(network: nn.Module, partial: PartialSection, blocks: Blocks, *, freeze_encoder: bool) -> Unfrozen:
    """Select the weights that the options name, without those that the network itself never trains.

    Raises InputError for more layers than the network has, and if nothing is left to train.
    """
    wanted = {
        "unfreeze_encoder_last": (partial.unfreeze_encoder_last, blocks.encoder_layers),
        "unfreeze_decoder_last": (partial.unfreeze_decoder_last, blocks.decoder_layers),
    }
    stacks = {option: _layers(network, layers) for option, (_, layers) in wanted.items()}
    num_layers = {option: len(names) for option, names in stacks.items()}
    raise_findings([_too_many(o, count, num_layers[o]) for o, (count, _) in wanted.items() if count > num_layers[o]])
    modules = [name for option, (count, _) in wanted.items() if count for name in stacks[option][-count:]]
    notes: list[str] = []
    if partial.unfreeze_head:
        sharing = _sharing_weights(network, blocks.head)
        notes += [
            f"unfreeze_head: {', '.join(blocks.head)} shares its weights with {name}: both are trained"
            for name in sharing
        ]
        modules += [*blocks.head, *sharing]
    if partial.unfreeze_language_adapters:
        raise_findings(
            [] if blocks.language_adapters else ["unfreeze_language_adapters: the model has none: remove it"]
        )
        modules += [name for name in (*blocks.language_adapters, *blocks.head) if not is_within(name, modules)]
    if partial.train_norms:
        norms = [name for name, module in network.named_modules() if isinstance(module, NORMS)]
        modules += [name for name in norms if not is_within(name, modules)]
    if freeze_encoder:
        modules = [name for name in modules if not is_within(name, [blocks.encoder])]
    chosen = {id(parameter) for name in modules for parameter in network.get_submodule(name).parameters()}
    for name, parameter in network.named_parameters():
        frozen = freeze_encoder and is_within(name, [blocks.encoder])
        if partial.train_bias and _is_bias(name) and not frozen:
            chosen.add(id(parameter))
    parameters = [p for p in network.parameters() if id(p) in chosen and p.requires_grad]
    raise_findings([] if parameters else ["method partial: the unfrozen parts have no weights to train; unfreeze more"])
    return Unfrozen(tuple(modules), tuple(parameters), tuple(notes))


def with_modules(unfrozen: Unfrozen, network: nn.Module, modules: Sequence[str]) -> Unfrozen:
    """Add whole modules, except those inside modules that are trained in full already."""
    more = [name for name in modules if not is_within(name, unfrozen.modules)]
    chosen = {id(parameter) for parameter in unfrozen.parameters}
    chosen |= {id(parameter) for name in more for parameter in network.get_submodule(name).parameters()}
    parameters = tuple(parameter for parameter in network.parameters() if id(parameter) in chosen)
    return Unfrozen((*unfrozen.modules, *more), parameters, unfrozen.notes)


def is_within(name: str, modules: Collection[str]) -> bool:
    """Return whether a module or parameter is one of these modules or inside one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _layers(network: nn.Module, layers: str | None) -> list[str]:
    return [] if layers is None else [f"{layers}.{name}" for name, _ in network.get_submodule(layers).named_children()]


def _too_many(option: str, wanted: int, num_layers: int) -> str:
    if not num_layers:
        return f"{option}: the decoder of this model has no layers; set unfreeze_head instead"
    return f"{option}: found {wanted}, but the model has {num_layers} layers; set at most {num_layers}"


def _sharing_weights(network: nn.Module, head: Sequence[str]) -> list[str]:
    """Return the modules outside of the head that share one of its weights."""
    holders: dict[int, set[str]] = defaultdict(set)
    for name, parameter in network.named_parameters(remove_duplicate=False):
        holders[id(parameter)].add(name.rpartition(".")[0])
    shared = {h for name in head for p in network.get_submodule(name).parameters() for h in holders[id(p)]}
    return sorted(holder for holder in shared if not is_within(holder, head))


def _is_bias(name: str) -> bool:
    # an LSTM has bias_ih_l0, relative attention bias_u
    ending = name.rpartition(".")[2]
    return ending == "bias" or ending.startswith("bias_")
