"""Atomic writes of files and directories: written to a staging path, then renamed.

The staging path is `.NAME.tmp-PID` beside the destination; a directory that is being replaced is called `.NAME.old`
until its successor is in place. A killed process leaves these behind: the next writer of the same destination removes
them, and recover_directory restores the old directory.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from eartune.errors import InputError

# Virus scanners and indexers on Windows hold a file for a moment after it is written.
RENAME_ATTEMPTS = 20 if os.name == "nt" else 1
RENAME_PAUSE_S = 0.05

_STAGING_NAME = re.compile(r"\.(?P<name>.+)\.tmp-(?P<pid>\d+)", re.DOTALL)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write UTF-8 text with unchanged line feeds; raise InputError if the path is not writable."""
    path = _resolve_link(Path(path))
    with _as_input_error(path):
        clear_leftovers(path.parent, name=path.name)
    with new_file(path) as staging, _as_input_error(path):
        _write(staging, text)


def write_json_atomic(path: str | Path, value: object) -> None:
    """Write indented JSON; NaN and infinity are refused with ValueError, since JSON cannot represent them."""
    write_text_atomic(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_texts_together(texts: Mapping[Path, str], *, remove: Iterable[Path] = ()) -> None:
    """Write several files to staging paths, then remove the files they replace, then rename them.

    The first of `texts` is renamed last, so that if it exists all others do.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            staging = stack.enter_context(new_file(path))
            with _as_input_error(path):
                _write(staging, text)
        for path in remove:
            with _as_input_error(path):
                path.unlink(missing_ok=True)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield an empty hidden file beside `path`, which replaces it when the block succeeds."""
    path = _resolve_link(Path(path))
    staging = _staging_path(path)
    with _as_input_error(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.touch()
    try:
        yield staging
        with _as_input_error(path):
            _rename(staging, path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise


@contextmanager
def new_directory(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty hidden directory beside `path`, which replaces it when the block succeeds.

    Without `replace` an existing `path` must be an empty directory. Raises InputError, before the block begins,
    if `path` is taken or not writable.
    """
    path = _resolve_link(Path(path))
    staging = _staging_path(path)
    recover_directory(path)
    _refuse_taken(path, replace=replace)
    with _as_input_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, name=path.name)
        staging.mkdir()
    try:
        yield staging
        _refuse_taken(path, replace=replace)
        _share_permissions(staging)
        with _as_input_error(path):
            _put_in_place(staging, path)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


@contextmanager
def scratch_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty hidden directory beside `path`, on the same disk, which is removed when the block ends."""
    path = _resolve_link(Path(path))
    staging = _staging_path(path)
    with _as_input_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, name=path.name)
        staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def put_file(source: str | Path, target: str | Path) -> None:
    """Move a complete file to `target` on the same disk, replacing an existing file."""
    target = _resolve_link(Path(target))
    with _as_input_error(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        _rename(Path(source), target)


def _share_permissions(folder: Path) -> None:
    """Give files the permissions of the folder: some libraries make theirs readable by their owner only."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def require_writable(folder: str | Path) -> None:
    """Raise InputError if files cannot be written into `folder`; directories created for the test are removed."""
    folder = Path(folder)
    with _as_input_error(folder):
        created = [parent for parent in [folder, *folder.parents] if not parent.exists()]
    probe = folder / f".writable.tmp-{os.getpid()}"
    try:
        with _as_input_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
        for parent in created:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def recover_directory(path: str | Path) -> None:
    """Restore a directory whose replacement was interrupted between renaming the old one and the new one."""
    path = _resolve_link(Path(path))
    old = _old_path(path)
    with _as_input_error(path):
        if not old.exists():
            return
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            _rename(old, path)


def clear_leftovers(folder: str | Path, *, name: str | None = None) -> None:
    """Remove staging paths of killed processes in `folder`, for one destination or all; keep those of running ones."""
    folder = Path(folder)
    if not folder.is_dir():
        return
    for leftover in folder.iterdir():
        match = _STAGING_NAME.fullmatch(leftover.name)
        if match is None or name not in (None, match["name"]):
            continue
        pid = int(match["pid"])
        if pid != os.getpid() and _is_running(pid):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _staging_path(path: Path) -> Path:
    return path.parent / f".{path.name}.tmp-{os.getpid()}"


def _old_path(path: Path) -> Path:
    return path.parent / f".{path.name}.old"


def _resolve_link(path: Path) -> Path:
    # A link to another disk is intended; renaming over it would put the data on this one.
    with _as_input_error(path):
        return path.resolve() if path.is_symlink() else path


def _refuse_taken(path: Path, *, replace: bool) -> None:
    with _as_input_error(path):
        if not path.exists():
            return
        if not path.is_dir():
            raise InputError(f"{path}: is a file where a directory is to be written; choose another place")
        if not replace and any(path.iterdir()):
            raise InputError(f"{path}: already exists and is not empty; choose another place or remove it")


def _put_in_place(staging: Path, path: Path) -> None:
    old = _old_path(path)
    if not path.exists():
        _rename(staging, path)
        return
    _rename(path, old)
    try:
        _rename(staging, path)
    except OSError:
        _rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _rename(source: Path, target: Path) -> None:
    for attempt in range(1, RENAME_ATTEMPTS + 1):
        try:
            source.replace(target)
            return
        except PermissionError:
            if attempt == RENAME_ATTEMPTS:
                raise
            time.sleep(RENAME_PAUSE_S)


@contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {_reason(path, error)}") from error


def _reason(path: Path, error: OSError) -> str:
    blocking = next((parent for parent in path.parents if parent.is_file()), None)
    if blocking is not None:
        return f"cannot be written: {blocking} is a file, not a directory; choose another place"
    if error.errno == errno.EISDIR:
        return "is a directory where a file is to be written; choose another name"
    if error.errno == errno.EROFS:
        return "cannot be written: the file system is read-only; choose another place"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "cannot be written: no permission; change the rights or choose another place"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "cannot be written: the disk or your quota is full; free some space"
    return f"cannot be written: {error.strerror or error}; choose another place"


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.pid_exists(pid))
    except OverflowError:
        # a number beyond those of processes
        return False
