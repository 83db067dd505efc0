"""Resuming a run: the state of its folder, and the check that the configuration is the same."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from eartune.errors import InputError, raise_findings
from eartune.files import require_writable
from eartune.origin import DataRecord, RunOrigin, read_origin
from eartune.run_dir import RunDir, RunSummary, read_summary


@dataclass(frozen=True)
class RunState:
    """The state of a run: a checkpoint to resume from, or the summary of a finished run, or neither of a new one."""

    checkpoint: Path | None = None
    finished: RunSummary | None = None


def refuse_foreign_folder(run: RunDir, *, overwrite: bool) -> None:
    """Raise InputError where the folder cannot be written, or holds anything but a run."""
    others = [path for path in run.root.iterdir() if path != run.launch_log] if run.root.is_dir() else []
    origin = _origin_of(run)
    if others and origin is None:
        raise InputError(f"{run.root}: is not empty and holds no run of eartune; choose another output_dir")
    if origin is not None and overwrite:
        return
    require_writable(run.root)


def _origin_of(run: RunDir) -> RunOrigin | None:
    """Return the origin of an earlier run; raise InputError where the folder holds a model."""
    origin = read_origin(run.root)
    if origin is None or isinstance(origin, RunOrigin):
        return origin
    held = "an adapter" if origin.kind == "adapter" else "a model"
    raise InputError(f"{run.root}: holds {held}, not a run; choose another output_dir")


def compare(run: RunDir, origin: RunOrigin, *, overwrite: bool) -> RunState:
    """Compare this training with the run in the folder.

    Raises InputError that lists each difference, unless `overwrite` is set.
    """
    before = _origin_of(run)
    if before is None or overwrite:
        return RunState()
    raise_findings(
        _differences(before, origin),
        summary=f"{run.root}: holds a run that was started differently:",
        advice="Choose another output_dir, or give --overwrite to delete that run and start over.",
    )
    checkpoints = run.list_checkpoints()
    finished = read_summary(run)
    if finished is not None:
        return RunState(finished=finished)
    return RunState(checkpoint=checkpoints[-1] if checkpoints else None)


def _differences(before: RunOrigin, now: RunOrigin) -> list[str]:
    found = [
        f"{name}: was {before.decides.get(name)!r}, is {value!r}"
        for name, value in now.decides.items()
        if before.decides.get(name) != value
    ]
    if before.base_model.sha256 != now.base_model.sha256:
        found.append(f"base_model: was {before.base_model.spec}, is {now.base_model.spec} (other weights)")
    for split in ("train", "val"):
        old, new = before.data.get(split), now.data.get(split)
        if (old and old.sha256) != (new and new.sha256):
            found.append(f"{split}: its speech or texts have changed ({_size(old)} before, {_size(new)} now)")
    return found


def _size(data: DataRecord | None) -> str:
    return f"{data.utterances} utterances, {data.seconds} s" if data else "0 utterances, 0 s"


def delete(run: RunDir) -> None:
    """Delete the files of an earlier run, and no other files. The origin is deleted last."""
    for folder in (run.checkpoints, run.tensorboard, run.best, run.last, run.merged):
        if folder.exists():
            shutil.rmtree(folder)
    for file in (run.finished, run.metrics, run.initial_adapter, run.config, run.origin):
        file.unlink(missing_ok=True)
