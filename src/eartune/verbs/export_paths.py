"""Export paths, and staging, so that only complete exports appear there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eartune.errors import InputError
from eartune.export.exporter import Target
from eartune.files import new_directory, put_file, recover_directory, require_writable, scratch_directory


@dataclass(frozen=True)
class Destination:
    """The path of an export: its own folder, or a file that the user named."""

    path: Path
    is_file: bool

    def beside(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}")


def choose_destination(target: Target, model: str, out: Path | None, *, alone: bool) -> Destination:
    """Return the path of an export: `out` itself if it is the only one, else a folder in it; by default in the run."""
    if out is None:
        folder = Path(model).expanduser()
        exports = folder / "export" if (folder / "origin.json").is_file() else Path("export") / folder.stem
        return Destination(exports / target.name, is_file=False)
    suffix = Path(target.file_name or "").suffix
    if suffix and out.suffix == suffix:
        if not alone:
            raise InputError(f"--out: {out} is one file, and several exports are requested; name a folder")
        return Destination(out, is_file=True)
    return Destination(out if alone else out / target.name, is_file=False)


def refuse_existing(destination: Destination, original: Path | None, *, replace: bool) -> None:
    """Raise InputError where the path exists already or cannot be written."""
    path = destination.path
    if original is not None and path.resolve() == original.resolve():
        raise InputError(f"{path}: is the original archive itself; name another file")
    recover_directory(path)
    if path.exists() and path.is_dir() == destination.is_file:
        raise InputError(f"{path}: is a {'folder' if destination.is_file else 'file'}; choose another place")
    if path.exists() and not replace and (destination.is_file or any(path.iterdir())):
        raise InputError(f"{path}: is there already; --overwrite replaces it, or name another place with --out")
    require_writable(path.parent)


@contextmanager
def staging(destination: Destination, *, replace: bool) -> Iterator[Path]:
    """Yield an empty folder to write to; its contents are moved into place when the block ends without an error."""
    if not destination.is_file:
        with new_directory(destination.path, replace=replace) as folder:
            yield folder
        return
    with scratch_directory(destination.path) as folder:
        yield folder
        put_file(folder / destination.path.name, destination.path)
