"""Networks built from .nemo files, complete and with checked shapes, and dropout where only NeMo has it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from eartune.errors import InputError, explained
from eartune.families._nemo.archive import CONFIG, WEIGHTS
from eartune.families._nemo.features import require_same_features
from eartune.families._nemo.spec import NemoSpec
from eartune.families._nemo.weights import NameHere, Rearranged, network_name, unchanged
from eartune.model import Network
from eartune.weights import RELOAD_ADVICE, require_weights

# raises InputError for tensors that are not network weights
Check = Callable[[Mapping[str, torch.Tensor]], None]


def _no_check(_tensors: Mapping[str, torch.Tensor]) -> None:
    pass


def build_network(
    network_class: Any,
    spec: NemoSpec,
    name_here: NameHere,
    *,
    rearranged: Rearranged = unchanged,
    check_others: Check = _no_check,
) -> Network:
    """Build a network in float32 with the archive's weights, without a second copy in memory.

    Raises InputError where weights are missing, unused or of another shape than in the configuration.
    """
    where = f"{spec.path}: {WEIGHTS}"
    # a network changes its configuration when it is trained
    config = copy.deepcopy(spec.network)
    weights = spec.archive.weights()
    require_weights({name: each for name, each in weights.items() if network_name(name, name_here)}, where=where)
    state: dict[str, torch.Tensor] = {}
    others: dict[str, torch.Tensor] = {}
    for name in list(weights):
        here, tensor = network_name(name, name_here), weights.pop(name)
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


def attach_dropouts(network: Network) -> None:
    """Drop out what modules give out at the rates in `network.config.output_dropouts`, a pattern of names -> rate.

    The rates are saved with the network's configuration, so a network that is loaded again calls this again; one that
    does not come from an archive has none.
    """
    for pattern, rate in getattr(network.config, "output_dropouts", {}).items():
        modules = [module for name, module in network.named_modules() if re.fullmatch(pattern, name)]
        assert modules, f"no module is called {pattern}"
        for module in modules:
            module.register_forward_hook(partial(_drop_out, rate=rate))


def _drop_out(module: nn.Module, _inputs: Any, output: Any, *, rate: float) -> Any:
    # attention gives out its weights as well, an LSTM its states
    if isinstance(output, tuple):
        return (nn.functional.dropout(output[0], rate, module.training), *output[1:])
    return nn.functional.dropout(output, rate, module.training)
