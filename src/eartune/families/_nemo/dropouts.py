"""Dropout where NeMo has it and transformers' modules have none: on what a module gives out, in training only."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from torch import nn

from eartune.model import Network


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
