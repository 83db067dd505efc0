"""Files and directories that appear whole or not at all: written aside, then renamed.

What is being written is called `.NAME.tmp-PID` and lies beside its destination; a directory that is being replaced
waits as `.NAME.old` until its successor stands. A killed process leaves these behind: the next writer of the
same destination clears them, and recover_directory puts back what was moved aside.
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

_ASIDE_NAME = re.compile(r"\.(?P<name>.+)\.tmp-(?P<pid>\d+)", re.DOTALL)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write UTF-8 text with line feeds as they are; raise InputError where the place is not writable."""
    path = _behind_link(Path(path))
    with _explained(path):
        clear_leftovers(path.parent, name=path.name)
    with new_file(path) as aside, _explained(path):
        _write(aside, text)


def write_json_atomic(path: str | Path, value: object) -> None:
    """Write indented JSON; NaN and infinity are refused with ValueError, since JSON has no word for them."""
    write_text_atomic(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_texts_together(texts: Mapping[Path, str], *, remove: Iterable[Path] = ()) -> None:
    """Write several files of one kind aside, then remove what they replace, then let them appear.

    The first of `texts` appears last, so that where it stands all others do.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            aside = stack.enter_context(new_file(path))
            with _explained(path):
                _write(aside, text)
        for path in remove:
            with _explained(path):
                path.unlink(missing_ok=True)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield an empty hidden file beside `path`, which takes its place when the block ends well."""
    path = _behind_link(Path(path))
    aside = _aside(path)
    with _explained(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
    try:
        yield aside
        with _explained(path):
            _rename(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def new_directory(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty hidden directory beside `path`, which takes its place when the block ends well.

    Without `replace` an existing `path` must be an empty directory. Raises InputError, before the block begins,
    where `path` is taken or not writable.
    """
    path = _behind_link(Path(path))
    aside = _aside(path)
    recover_directory(path)
    _refuse_taken(path, replace=replace)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, name=path.name)
        aside.mkdir()
    try:
        yield aside
        _refuse_taken(path, replace=replace)
        _open_to_readers(aside)
        with _explained(path):
            _put_in_place(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


@contextmanager
def scratch_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty hidden directory beside `path`, on the same disk, which is removed when the block ends."""
    path = _behind_link(Path(path))
    aside = _aside(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, name=path.name)
        aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def put_file(source: str | Path, target: str | Path) -> None:
    """Move a whole file to `target` on the same disk, in place of an earlier one."""
    target = _behind_link(Path(target))
    with _explained(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        _rename(Path(source), target)


def _open_to_readers(folder: Path) -> None:
    """Give files the rights that the folder has: some libraries write theirs for their owner only."""
    usual = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(usual)


def require_writable(folder: str | Path) -> None:
    """Raise InputError where files cannot be written into `folder`; what had to be created for the test is removed."""
    folder = Path(folder)
    with _explained(folder):
        created = [parent for parent in [folder, *folder.parents] if not parent.exists()]
    probe = folder / f".writable.tmp-{os.getpid()}"
    try:
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
        for parent in created:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def recover_directory(path: str | Path) -> None:
    """Put back a directory whose replacement was interrupted between moving it aside and renaming the new one."""
    path = _behind_link(Path(path))
    old = _moved_aside(path)
    with _explained(path):
        if not old.exists():
            return
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            _rename(old, path)


def clear_leftovers(folder: str | Path, *, name: str | None = None) -> None:
    """Remove what killed processes left in `folder`, of one destination or of all; spare what living ones write."""
    folder = Path(folder)
    if not folder.is_dir():
        return
    for leftover in folder.iterdir():
        match = _ASIDE_NAME.fullmatch(leftover.name)
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


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.tmp-{os.getpid()}"


def _moved_aside(path: Path) -> Path:
    return path.parent / f".{path.name}.old"


def _behind_link(path: Path) -> Path:
    # A link to another disk is the user's wish; renaming over it would put the data on this one.
    with _explained(path):
        return path.resolve() if path.is_symlink() else path


def _refuse_taken(path: Path, *, replace: bool) -> None:
    with _explained(path):
        if not path.exists():
            return
        if not path.is_dir():
            raise InputError(f"{path}: is a file where a directory is to be written; choose another place")
        if not replace and any(path.iterdir()):
            raise InputError(f"{path}: already exists and is not empty; choose another place or remove it")


def _put_in_place(aside: Path, path: Path) -> None:
    old = _moved_aside(path)
    if not path.exists():
        _rename(aside, path)
        return
    _rename(path, old)
    try:
        _rename(aside, path)
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
def _explained(path: Path) -> Iterator[None]:
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
