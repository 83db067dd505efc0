"""Device and precision of a computation."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from eartune.errors import InputError

Precision = Literal["bf16", "fp16", "fp32"]


def choose_gpu(index: int | None) -> None:
    """Make one GPU the only visible one, by default the first. Must run before CUDA is first used.

    With several visible GPUs transformers would split each batch over them, which breaks decoding.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("this version trains on one GPU: start it as one process, without torchrun or accelerate")
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = first if index is None else str(index)
    if index is not None and not torch.cuda.is_available():
        raise InputError(f"gpu: there is no GPU {index} here that torch can use; leave gpu out to use the CPU")


def best_device() -> torch.device:
    """Return the first GPU, Apple's GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return f"CPU, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def resolve_precision(wanted: Literal["auto", "bf16", "fp16", "fp32"], device: torch.device) -> Precision:
    """Choose the precision: auto is bf16 where the device computes it natively, else fp32."""
    if wanted == "auto":
        return "bf16" if computes_bf16(device) else "fp32"
    if wanted == "fp16" and device.type != "cuda":
        raise InputError(f"precision: fp16 needs a CUDA GPU, and this run is on the {device.type}; use bf16 or fp32")
    if wanted == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError("precision: this GPU does not compute bf16; use fp16")
    return wanted


def describe_precision(precision: Precision, device: torch.device) -> str:
    """Name the precision, with a warning where the processor only emulates it."""
    if precision == "bf16" and device.type == "cpu" and not computes_bf16(device):
        return "bf16, which this processor emulates, as it has no instructions for it: precision fp32 is faster here"
    return precision


def computes_bf16(device: torch.device) -> bool:
    """Return whether the device has instructions for bf16, rather than emulating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.backends.cpu.get_cpu_capability()
        has_instructions = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        # oneDNN multiplies the matrices, and can be configured to leave instructions out
        is_used = torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return bool(has_instructions and is_used) and "512" in capabilities
    return False


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a forward pass computes in `precision`."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=compute_dtype(precision))


def compute_dtype(precision: Precision) -> torch.dtype:
    """Return the type in which a forward pass in `precision` multiplies matrices."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]


@contextlib.contextmanager
def casting_weights_once(network: nn.Module) -> Iterator[None]:
    """Let autocast cast each weight once instead of in each forward pass, and cache the copies until it exits.

    It caches only weights that require gradients, and none in inference mode (torch, aten/autocast_mode.cpp): inside
    the context all weights require gradients, and no_grad keeps torch from recording a graph.
    """
    frozen = [weight for weight in network.parameters() if weight.is_floating_point() and not weight.requires_grad]
    with torch.no_grad():
        for weight in frozen:
            weight.requires_grad_(True)
        try:
            yield
        finally:
            for weight in frozen:
                weight.requires_grad_(False)
