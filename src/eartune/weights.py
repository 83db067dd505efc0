"""Checks of weights: tensors of types that cannot be trained, or with values that are not finite, are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from eartune.errors import EartuneError, InputError

FLOATING_TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
RELOAD_ADVICE = "download or save the model again"
QUANTIZED_ADVICE = "use the model in float32, bfloat16 or float16, not quantised"
# integer buffers that networks have beside their weights
_COUNTERS = ("num_batches_tracked", "position_ids")


def require_weights(weights: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Raise InputError if tensors of a file are not weights: by their type, or values that are NaN or infinite.

    `where` names the file and begins the message.
    """
    require_types({name: value.dtype for name, value in weights.items()}, where=where)
    require_finite(weights.items(), where=where)


def require_types(types: Mapping[str, torch.dtype], *, where: str) -> None:
    """Raise InputError if weights are not floating point; torch would cast them silently."""
    other = [name for name, dtype in types.items() if dtype not in FLOATING_TYPES and not _is_counter(name, dtype)]
    if not other:
        return
    kind = types[other[0]]
    is_quantized = not kind.is_complex and kind != torch.bool
    raise InputError(
        f"{where}: {other[0]} is {type_name(kind)}, but weights must be floating point{_and_more(other)}; "
        f"{QUANTIZED_ADVICE if is_quantized else RELOAD_ADVICE}"
    )


def require_finite(
    weights: Iterable[tuple[str, torch.Tensor]],
    *,
    where: str,
    advice: str = RELOAD_ADVICE,
    error: type[EartuneError] = InputError,
) -> None:
    """Raise `error`, which names a tensor with values that are NaN or infinite. Each is read once, and not copied."""
    found = {name: _describe(value) for name, value in weights if not is_finite(value)}
    if found:
        name = next(iter(found))
        raise error(f"{where}: {found[name]} of {name} are NaN or infinite{_and_more(list(found))}; {advice}")


def network_weights(network: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return parameters and buffers by name, shared ones once."""
    return [*network.named_parameters(), *network.named_buffers()]


@torch.no_grad()
def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether all values of a tensor are finite in float32, the type of computation."""
    if not tensor.is_floating_point():
        return True
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    # a sum takes a tenth of the time, and no memory; finite values may overflow it, so a failure is checked in full
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _describe(tensor: torch.Tensor) -> str:
    return f"{int((~torch.isfinite(tensor.float())).sum())} of the {tensor.numel()} values"


def _is_counter(name: str, dtype: torch.dtype) -> bool:
    return dtype in (torch.int64, torch.int32) and name.endswith(_COUNTERS)


def _and_more(names: Sequence[str]) -> str:
    return f" ({len(names)} such weights in all)" if len(names) > 1 else ""
