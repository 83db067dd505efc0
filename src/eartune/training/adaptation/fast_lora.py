"""Faster LoRA and DoRA layers with PEFT's results and less memory, and frozen matrices stored in the compute dtype.

PEFT computes base layer, dropout, A, B and their sum one after the other; each casts its own input and saves it for
backward. Here the plain case is one autograd function (low_rank.py). Everything else is left to PEFT, as are names,
files and merging.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import Linear
from peft.tuners.lora.variants import DoraLinearVariant
from torch import nn

from eartune.ops.low_rank import (
    MAX_DROPOUT,
    adapted_norm,
    dropout_mask,
    low_rank_linear,
    rescale,
    squared_rows,
)


def speed_up(network: PeftModel) -> int:
    """Give the plain LoRA and DoRA layers a faster forward with the same results; return their number.

    Call it after initialisations that hook into layers: A, B and the base layer are no longer called as modules.
    """
    plain = [module for module in network.modules() if type(module) is Linear and _is_plain(module)]
    for layer in plain:
        layer.__class__ = FastLinear
    return len(plain)


def keep_frozen_weights(network: PeftModel, dtype: torch.dtype) -> int:
    """Store the matrices of frozen linear layers in `dtype`, that of autocast; return their number.

    Autocast casts them to it in each forward pass anyway, so LoRA computes the same; DoRA takes its norms from the
    rounded matrices. Unchanged are: adapters, biases, norms, convolutions, embeddings and weights shared with them, and
    layers whose adapter is left to PEFT.
    """
    parts_of_peft = _parts_of_peft(network)
    matrices = [m for m in network.modules() if type(m) is nn.Linear and id(m) not in parts_of_peft]
    others = [module for module in network.modules() if type(module) is not nn.Linear]
    shared = {id(parameter) for module in others for parameter in module.parameters(recurse=False)}
    frozen = [m.weight for m in matrices if not m.weight.requires_grad and id(m.weight) not in shared]
    for weight in frozen:
        weight.data = weight.data.to(dtype)
    return len(frozen)


def _parts_of_peft(network: PeftModel) -> set[int]:
    """Return the ids of modules inside LoRA layers, except for the base layers of FastLinear."""
    parts = {id(part) for layer in network.modules() if isinstance(layer, LoraLayer) for part in layer.modules()}
    return parts - {id(layer.base_layer) for layer in network.modules() if isinstance(layer, FastLinear)}


class FastLinear(Linear):  # type: ignore[misc]
    """PEFT's LoRA layer; x [..., I] -> [..., O]. All but one plain adapter, active and not merged, is left to PEFT."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        dtype = torch.get_autocast_dtype(x.device.type) if _autocast(x) else x.dtype
        if args or kwargs or not self._is_supported(x):
            result: torch.Tensor = super().forward(x, *args, **kwargs)
            return result
        return self._dora(x, dtype) if self.lora_variant else self._lora(x, dtype)

    def _is_supported(self, x: torch.Tensor) -> bool:
        # a compiler fuses PEFT's own forward, and cannot trace this one
        if torch.compiler.is_compiling() or self.disable_adapters or self.merged or not _is_plain(self):
            return False
        lora_a, _ = self._matrices()
        return _autocast(x) or x.dtype == self.base_layer.weight.dtype == lora_a.dtype

    def _lora(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        base, p = self.base_layer, self._dropout()
        mask = dropout_mask(x.shape, p, x.device) if p else None
        scale = self._scale() / (1 - p)
        return low_rank_linear(x, base.weight, base.bias, *self._matrices(), scale=scale, dtype=dtype, mask=mask)

    def _dora(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Compute m (W + s BA) x + b with m = magnitude / norm.

        Dropout also applies to (m - 1) W x, as in PEFT and in the code of DoRA's authors. With d, x after dropout:
        W x + b + (m - 1) W d + m s BA d = W (x - d) + b + m (W + s BA) d.
        """
        base, p, scale = self.base_layer, self._dropout(), self._scale()
        magnitude, norm = self.lora_magnitude_vector[self.active_adapters[0]].weight, self._norm()
        if not p:
            adapted = low_rank_linear(x, base.weight, base.bias, *self._matrices(), scale=scale, dtype=dtype)
            return rescale(adapted, magnitude, norm, base.bias)
        x = x.to(dtype)
        dropped = x * dropout_mask(x.shape, p, x.device) * (1 / (1 - p))
        rest = nn.functional.linear(x - dropped, base.weight, base.bias)
        adapted = low_rank_linear(dropped, base.weight, None, *self._matrices(), scale=scale, dtype=dtype)
        # a factor near 1 would lose its small changes in bf16; its distance from 1 does not
        return torch.addcmul(rest + adapted, adapted, (magnitude / norm - 1).to(dtype))

    def _matrices(self) -> tuple[torch.Tensor, torch.Tensor]:
        name = self.active_adapters[0]
        return self.lora_A[name].weight, self.lora_B[name].weight

    def _scale(self) -> float:
        return float(self.scaling[self.active_adapters[0]])

    def _dropout(self) -> float:
        dropout = self.lora_dropout[self.active_adapters[0]]
        return dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0

    @torch.no_grad()
    def _norm(self) -> torch.Tensor:
        """Return the norm of each adapted row: computed at each training step, and cached while decoding."""
        (lora_a, lora_b), weight, scale = self._matrices(), self.base_layer.weight, self._scale()
        cache = self.__dict__.setdefault("_norm_cache", {})
        with torch.autocast(weight.device.type, enabled=False):
            if cache.get("frozen") != _versions(weight):
                cache.update(frozen=_versions(weight), squares=squared_rows(weight, lora_b.dtype))
            state = (*_versions(weight, lora_a, lora_b), scale)
            # not every optimiser increments the version of a weight, so no norm is cached across training steps
            if self.training or cache.get("norm", (None,))[0] != state:
                cache["norm"] = (state, adapted_norm(weight, cache["squares"], lora_a, lora_b, scale))
            _, norm = cache.pop("norm") if self.training else cache["norm"]
        result: torch.Tensor = norm
        return result


def _is_plain(layer: Linear) -> bool:
    if len(layer.lora_A) != 1 or layer.active_adapters != list(layer.lora_A):
        return False
    name = layer.active_adapters[0]
    base, dropout, variant = layer.base_layer, layer.lora_dropout[name], layer.lora_variant.get(name)
    return (
        type(base) is nn.Linear
        and not base.weight.requires_grad
        and not layer.fan_in_fan_out
        and not layer.lora_bias[name]
        and not layer.ephemeral_gpu_offload
        and (variant is None or type(variant) is DoraLinearVariant)
        and (type(dropout) is nn.Identity or (type(dropout) is nn.Dropout and dropout.p <= MAX_DROPOUT))
    )


def _autocast(x: torch.Tensor) -> bool:
    # autocast does not cast float64
    return torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64


def _versions(*tensors: torch.Tensor) -> tuple[tuple[int, int], ...]:
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
