"""Checkpoints of a run: the newest one that is whole, so that training can go on from it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field
from transformers import TrainerState
from transformers.trainer_pt_utils import safe_globals

from eartune.base_model import weight_files
from eartune.declared_weights import require_weight_file
from eartune.errors import InputError, explained
from eartune.model_folder import CONFIG
from eartune.parsing import JsonObject, read_json
from eartune.reporting import Reporter
from eartune.training.adaptation.adapter_files import ADAPTER_CONFIG, read_adapter_config

_ADVICE = "it is not used"
# what torch wrote -> the keys that Trainer reads
_STATES: Mapping[str, tuple[str, ...]] = {
    "optimizer.pt": ("state", "param_groups"),
    "scheduler.pt": ("last_epoch",),
    "rng_state.pth": ("python", "numpy", "cpu"),
}


class _State(BaseModel):
    """trainer_state.json."""

    global_step: Annotated[int, Field(ge=1)]
    epoch: float | None = None
    log_history: list[dict[str, float | str | None]]
    best_metric: float | None = None
    best_global_step: int | None = None
    stateful_callbacks: JsonObject = {}


def newest_whole(checkpoints: Sequence[Path], report: Reporter) -> Path | None:
    """Return the newest checkpoint that training can go on from, of a list from the oldest on; None of none.

    Newer ones that are damaged are told in a line each and renamed, so that nothing takes them for whole again. Raises
    InputError where all are damaged.
    """
    damage: dict[Path, str] = {}
    for checkpoint in reversed(checkpoints):
        try:
            require_whole(checkpoint)
        except InputError as error:
            damage[checkpoint] = str(error)
            continue
        for damaged, reason in damage.items():
            aside = _set_aside(damaged)
            report.line(f"{damaged.name} is damaged ({reason}); it is now {aside.name}, and {checkpoint.name} is used")
        return checkpoint
    if damage:
        newest = checkpoints[-1]
        raise InputError(
            f"{newest.parent}: none of its {len(damage)} checkpoints is whole (the newest: {damage[newest]}); give "
            "--overwrite to train from the beginning"
        )
    return None


def require_whole(checkpoint: Path) -> None:
    """Raise InputError where training cannot go on from a checkpoint: a file is missing, damaged or of another step."""
    path = checkpoint / "trainer_state.json"
    state = read_json(path, _State)
    if checkpoint.name != f"checkpoint-{state.global_step}":
        raise InputError(f"{path}: global_step is {state.global_step}")
    with explained(path, "cannot be used", advice=_ADVICE):
        TrainerState.load_from_json(str(path))
    for name, keys in _STATES.items():
        _require_state(checkpoint / name, keys)
    _require_weights(checkpoint)


def _require_state(path: Path, keys: Sequence[str]) -> None:
    with explained(path, "cannot be read", advice=_ADVICE), safe_globals():
        # tensors stay in the file
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    missing = [key for key in keys if key not in found] if isinstance(found, Mapping) else keys
    if missing:
        raise InputError(f"{path}: has no {missing[0]}")


def _require_weights(checkpoint: Path) -> None:
    if (checkpoint / ADAPTER_CONFIG).exists():
        read_adapter_config(checkpoint)
    else:
        read_json(checkpoint / CONFIG, JsonObject)
    files = weight_files(checkpoint)
    if not files:
        raise InputError(f"{checkpoint}: has no weights")
    for path in files:
        require_weight_file(path)


def _set_aside(checkpoint: Path) -> Path:
    aside = checkpoint.with_name(f".damaged-{checkpoint.name}")
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
    return checkpoint.rename(aside)
