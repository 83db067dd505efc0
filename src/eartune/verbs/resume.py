"""Resuming a run: what a folder holds, and whether this configuration may go on with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eartune.errors import InputError, raise_findings
from eartune.files import require_writable
from eartune.run_dir import RunDir, read_origin


@dataclass(frozen=True)
class RunState:
    """Where a run stands: a checkpoint to go on from, or the summary of its end, or neither at its beginning."""

    checkpoint: Path | None = None
    finished: dict[str, Any] | None = None


def refuse_foreign_folder(run: RunDir, *, overwrite: bool) -> None:
    """Raise InputError where the folder cannot be written, or holds anything but a run."""
    others = [path for path in run.root.iterdir() if path != run.launch_log] if run.root.is_dir() else []
    if others and read_origin(run.root) is None:
        raise InputError(f"{run.root}: is not empty and holds no run of eartune; choose another output_dir")
    origin = read_origin(run.root) if run.root.is_dir() else None
    if origin is not None and origin["kind"] != "run":
        raise InputError(f"{run.root}: holds a {origin['kind']}, not a run; choose another output_dir")
    if origin is not None and overwrite:
        return
    require_writable(run.root)


def compare(run: RunDir, facts: dict[str, Any], *, overwrite: bool) -> RunState:
    """Compare what would be trained with what was begun in this folder.

    Raises InputError that lists each difference, unless `overwrite` says to begin afresh.
    """
    before = read_origin(run.root) if run.root.is_dir() else None
    if before is None:
        return RunState()
    if overwrite:
        return RunState()
    raise_findings(
        _differences(before, facts),
        summary=f"{run.root}: holds a run that was started differently:",
        advice="Choose another output_dir, or give --overwrite to delete that run and begin afresh.",
    )
    checkpoints = run.list_checkpoints()
    if run.finished.is_file():
        return RunState(finished=json.loads(run.finished.read_text(encoding="utf-8")))
    return RunState(checkpoint=checkpoints[-1] if checkpoints else None)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    found = [
        f"{name}: was {before['decides'].get(name)!r}, is {value!r}"
        for name, value in now["decides"].items()
        if before["decides"].get(name) != value
    ]
    if before["base_model"]["sha256"] != now["base_model"]["sha256"]:
        found.append(f"base_model: was {before['base_model']['spec']}, is {now['base_model']['spec']} (other weights)")
    for split in ("train", "val"):
        old, new = (facts["data"].get(split, {}) for facts in (before, now))
        if old.get("sha256") != new.get("sha256"):
            sizes = [f"{data.get('utterances', 0)} utterances, {data.get('seconds', 0)} s" for data in (old, new)]
            found.append(f"{split}: its speech or texts have changed ({sizes[0]} before, {sizes[1]} now)")
    return found


def delete(run: RunDir) -> None:
    """Delete the files of an earlier run, and nothing else that may lie beside them. The origin goes last."""
    for folder in (run.checkpoints, run.tensorboard, run.best, run.last, run.merged):
        if folder.exists():
            shutil.rmtree(folder)
    for file in (run.finished, run.metrics, run.initial_adapter, run.config, run.origin):
        file.unlink(missing_ok=True)
