"""parity.json: what an export is, what it was made from, and what its runtime made of it."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eartune import __version__
from eartune.errors import InputError
from eartune.packages import sha256_of

RECORD = "parity.json"
FORMAT = 1
# what runs each format, and the package that it comes with
PROGRAMS = {
    "ggml": ("whisper.cpp", "pywhispercpp"),
    "ctranslate2": ("faster-whisper", "faster-whisper"),
    "onnx": ("ONNX Runtime", "onnxruntime"),
    "openai": ("openai-whisper", "openai-whisper"),
    "nemo": ("NeMo", "nemo_toolkit"),
    "hf": ("transformers", "transformers"),
}


def program_of(format: str) -> dict[str, str | None]:
    """Return what runs a format here: the program, its package, and its version (None where it is not installed)."""
    program, package = PROGRAMS[format]
    try:
        found = version(package)
    except PackageNotFoundError:
        found = None
    return {"program": program, "package": package, "version": found}


def record_of(exported: Path) -> Path:
    """Return where the record of an export lies: beside a file that a user named, else in its folder."""
    beside = exported.with_name(f"{exported.name}.{RECORD}")
    if exported.is_dir():
        return exported / RECORD
    return beside if beside.is_file() else exported.parent / RECORD


def read_record(exported: Path) -> dict[str, Any]:
    """Return what is known of an export; nothing where it lies alone. Raises InputError for a damaged record."""
    path = record_of(exported)
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["format"], record["record_format"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged; it should say what lies here. Delete it, or export again") from None
    if known[1] > FORMAT:
        raise InputError(f"{path}: was written by a newer eartune; update eartune")
    return dict(record)


def describe_files(exported: Path) -> list[dict[str, Any]]:
    """Describe the files of an export: names within its folder, sizes in bytes, hashes."""
    paths = sorted(exported.rglob("*")) if exported.is_dir() else [exported]
    root = exported if exported.is_dir() else exported.parent
    return [
        {"name": path.relative_to(root).as_posix(), "size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in paths
        if path.is_file() and path.name not in (RECORD, "README.md")
    ]


def describe(*, format: str, quantization: str, **facts: Any) -> dict[str, Any]:
    """Return a record; `facts` are what else is known."""
    return {
        "record_format": FORMAT,
        "eartune": __version__,
        "format": format,
        "quantization": quantization,
        **facts,
    }
