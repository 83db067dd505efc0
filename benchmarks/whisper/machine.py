"""Where a benchmark runs: the machine, its libraries, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "datasets")


def describe_machine() -> dict[str, object]:
    facts: dict[str, object] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": None,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts["gpu"] = {"name": properties.name, "memory_bytes": properties.total_memory, "cuda": torch.version.cuda}
    return facts


def _processor() -> str:
    if (listing := Path("/proc/cpuinfo")).is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def host_peak_bytes() -> int | None:
    """Return the most memory this process has had resident (VmHWM), or None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def matrix_peak_flops(dtype: torch.dtype, *, seconds: float = 1.0) -> float:
    """Measure the best FLOP/s of products of large square matrices."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # on a busy machine a short product is more likely to be left alone
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best_s, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until or best_s == float("inf"):
        began = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best_s = min(best_s, time.perf_counter() - began)
    return 2 * size**3 / best_s
