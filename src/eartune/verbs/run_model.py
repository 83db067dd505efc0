"""The tuned model of a run as a separate folder or .nemo file: adapters merged, complete models copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from eartune.errors import InputError
from eartune.files import new_directory, recover_directory, require_writable, write_json_atomic
from eartune.origin import read_origin
from eartune.parsing import read_json
from eartune.reporting import Reporter
from eartune.run_dir import RunDir
from eartune.training.adaptation.adapter_files import ADAPTER_CONFIG
from eartune.verbs.export import export
from eartune.verbs.merge import merge
from eartune.verbs.open_model import Checkpoint


def refuse_target(target: Path, run: RunDir) -> None:
    """Raise InputError where the model of a run cannot be written to `target`, or would replace anything but itself."""
    folders = [run.best, run.last, run.merged, run.checkpoints, run.tensorboard]
    place, root = target.resolve(), run.root.resolve()
    if place == root or place in root.parents or any(folder.resolve() in (place, *place.parents) for folder in folders):
        raise InputError(f"export: {target} is where the run itself is written; name another folder")
    recover_directory(target)
    if target.suffix == ".nemo":
        if target.exists() and _stamp(target) != _stamps(run).get(str(place)):
            raise InputError(f"export: {target} is there already, and this run did not write it; name another file")
        require_writable(target.parent)
        return
    if target.exists() and not target.is_dir():
        raise InputError(f"export: {target} is a file, and the model is written as a folder; name another place")
    if target.is_dir() and any(target.iterdir()) and not _was_written_by(run, target):
        raise InputError(f"export: {target} is not empty and holds no model of {run.root}; name another folder")
    require_writable(target.parent)


def _record(run: RunDir) -> Path:
    return run.root / "exports.json"


def _stamps(run: RunDir) -> dict[str, list[int]]:
    """Return size and modification time of the files that the run has written outside its folder."""
    path = _record(run)
    advice = "delete this file, and the run takes nothing outside of itself for its own"
    return read_json(path, dict[str, list[int]], advice=advice) if path.exists() else {}


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _was_written_by(run: RunDir, target: Path) -> bool:
    origin = read_origin(target)
    if origin is None or origin.kind != "model" or origin.parent is None:
        return False
    return Path(origin.parent).resolve() in [folder.resolve() for folder in (run.root, run.best, run.last)]


def write_model(run: RunDir, target: Path, *, takes_best: bool, report: Reporter) -> None:
    """Write the model of best/ (of last/ without it, or if `takes_best` is false), replacing an earlier one."""
    checkpoint: Checkpoint = "best" if takes_best and run.best.is_dir() else "last"
    source = run.root / checkpoint
    if target.suffix == ".nemo":
        export(
            str(run.root), to=["nemo"], out=target, checkpoint=checkpoint, replace=True, judged=False, reporter=report
        )
        write_json_atomic(_record(run), _stamps(run) | {str(target.resolve()): _stamp(target)})
        return
    if (source / ADAPTER_CONFIG).is_file():
        report.line(f"merging {checkpoint}/ into its base model")
        merge(str(run.root), out=target, checkpoint=checkpoint, replace=True)
    else:
        with new_directory(target, replace=True) as aside:
            shutil.copytree(source, aside, dirs_exist_ok=True)
    report.line(f"wrote the model of {checkpoint}/ to {target}")
