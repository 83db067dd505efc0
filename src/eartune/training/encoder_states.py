"""Stores for the states of a frozen encoder: memory, or files. P positions of 20 ms, D model width."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal, Protocol

import psutil
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eartune.errors import EartuneError
from eartune.files import new_file
from eartune.packages import cache_dir

# share of free memory that states may take before they go to disk, and of free disk space
MEMORY_SHARE = 0.5
DISK_SHARE = 0.9


class EncoderStates(Protocol):
    """A store of states [P, D] in bf16, by key."""

    where: str

    def __contains__(self, key: str) -> bool: ...

    def get(self, key: str) -> torch.Tensor | None:
        """Return a state, or None where it is missing or damaged."""

    def put(self, key: str, state_PD: torch.Tensor) -> None: ...


class InMemory:
    """States kept until the end of the run."""

    where = "memory"

    def __init__(self) -> None:
        self.states: dict[str, torch.Tensor] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.states

    def get(self, key: str) -> torch.Tensor | None:
        return self.states.get(key)

    def put(self, key: str, state_PD: torch.Tensor) -> None:
        self.states[key] = state_PD


class OnDisk:
    """States in a folder, one file each, which other runs on the same speech and encoder reuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def get(self, key: str) -> torch.Tensor | None:
        try:
            state: torch.Tensor = load_file(self._path(key))["state"]
        except (OSError, SafetensorError, KeyError):
            # so that it counts as missing from then on
            self._path(key).unlink(missing_ok=True)
            return None
        return state

    def put(self, key: str, state_PD: torch.Tensor) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as staging:
            save_file({"state": state_PD.contiguous()}, staging)


def open_store(wanted: bool | Literal["memory", "disk"], *, num_bytes: int) -> EncoderStates:
    """Choose the store for states of this size: memory where they fit, else disk.

    Raises EartuneError if they do not fit.
    """
    free = int(MEMORY_SHARE * psutil.virtual_memory().available)
    if wanted == "memory" or (wanted is True and num_bytes <= free):
        if num_bytes > free:
            raise EartuneError(_too_large("memory", num_bytes, free, "set cache_encoder disk"))
        return InMemory()
    folder = cache_dir() / "encoder_states"
    folder.mkdir(parents=True, exist_ok=True)
    free = int(DISK_SHARE * shutil.disk_usage(folder).free)
    if num_bytes > free:
        advice = "set EARTUNE_CACHE to a folder on a larger disk, or cache_encoder false"
        raise EartuneError(_too_large(str(folder), num_bytes, free, advice))
    return OnDisk(folder)


def _too_large(place: str, needed: int, free: int, advice: str) -> str:
    return f"cache_encoder: the states take {gigabytes(needed)}, and {place} has {gigabytes(free)} for them; {advice}"


def gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
