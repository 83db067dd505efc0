"""Conversion of weights from an archive to a transformers network and back, complete and with checked shapes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch

from eartune.errors import InputError, explained
from eartune.families._nemo.archive import CONFIG, WEIGHTS, NemoArchive
from eartune.families._nemo.encoder_weights import is_of_features
from eartune.families._nemo.features import require_same_features
from eartune.families._nemo.spec import NemoSpec
from eartune.families._nemo.write_archive import NO_ROWS, grown
from eartune.model import Network
from eartune.weights import RELOAD_ADVICE, is_finite, require_weights, type_name

# NeMo's name -> transformers', or None for a tensor that is not a network weight and is kept unchanged
NameHere = Callable[[str], str | None]
# transformers' name and a tensor -> the tensor rearranged
Rearranged = Callable[[str, torch.Tensor], torch.Tensor]


# raises InputError for tensors that are not network weights
Check = Callable[[Mapping[str, torch.Tensor]], None]


def _unchanged(_name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _no_check(_tensors: Mapping[str, torch.Tensor]) -> None:
    pass


def build_network(
    network_class: Any,
    spec: NemoSpec,
    name_here: NameHere,
    *,
    rearranged: Rearranged = _unchanged,
    check_others: Check = _no_check,
) -> Network:
    """Build a network in float32 with the archive's weights, without a second copy in memory.

    Raises InputError where weights are missing, unused or of another shape than in the configuration.
    """
    where = f"{spec.path}: {WEIGHTS}"
    # a network changes its configuration when it is trained
    config = copy.deepcopy(spec.network)
    weights = spec.archive.weights()
    require_weights({name: each for name, each in weights.items() if _name_here(name, name_here)}, where=where)
    state: dict[str, torch.Tensor] = {}
    others: dict[str, torch.Tensor] = {}
    for name in list(weights):
        here, tensor = _name_here(name, name_here), weights.pop(name)
        if here is None:
            others[name] = tensor
            continue
        tensor = rearranged(here, tensor.float() if tensor.is_floating_point() else tensor)
        if here in state and not torch.equal(state[here], tensor):
            raise InputError(f"{where}: {name!r} must be equal to another weight and is not; save the model again")
        state[here] = tensor
    require_same_features(others, spec.features, spec.archive)
    check_others(others)
    with explained(f"{spec.path}: {CONFIG}", "is of a network that cannot be built", advice=RELOAD_ADVICE):
        _require_fitting(state, network_class, config, where)
        network = network_class.from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, attn_implementation="sdpa"
        )
    return network.eval()


def _require_fitting(state: Mapping[str, torch.Tensor], network_class: Any, config: Any, where: str) -> None:
    # on meta, so that a configuration cannot allocate more memory than the file has
    with torch.device("meta"):
        expected = network_class(config).state_dict()
    missing = sorted(expected.keys() - state.keys() - set(network_class._tied_weights_keys or ()))
    extra = sorted(state.keys() - expected.keys())
    other = sorted(name for name in state.keys() & expected.keys() if state[name].shape != expected[name].shape)
    for what, names in {"missing": missing, "not in the network": extra, "of another shape": other}.items():
        if names:
            raise InputError(
                f"{where}: does not fit the archive's configuration: {len(names)} weights are {what}, such as "
                f"{names[0]}; download or save the model again"
            )


def weights_for_nemo(
    state: Mapping[str, torch.Tensor],
    archive: NemoArchive,
    name_here: NameHere,
    *,
    rearranged: Rearranged = _unchanged,
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
        here = _name_here(name, name_here)
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


def _name_here(name: str, name_here: NameHere) -> str | None:
    return None if is_of_features(name) else name_here(name)
