"""parity.json: what an export is, what it was made from, and what its runtime made of it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import PositiveInt

from eartune.export.parity_record import ParityRecord
from eartune.origin import BaseModelRecord, DataRecord, FamilyName
from eartune.packages import sha256_of
from eartune.parsing import JsonObject
from eartune.records import Record, Task, read_record_file, write_record_file

RECORD = "parity.json"
FORMAT = 1
_ADVICE = "it should say what lies here: delete the file, or export again"
# what runs each format, and the package that it comes with
PROGRAMS = {
    "ggml": ("whisper.cpp", "pywhispercpp"),
    "ctranslate2": ("faster-whisper", "faster-whisper"),
    "onnx": ("ONNX Runtime", "onnxruntime"),
    "openai": ("openai-whisper", "openai-whisper"),
    "nemo": ("NeMo", "nemo_toolkit"),
    "hf": ("transformers", "transformers"),
}


class FileRecord(Record):
    """A file of an export."""

    name: str
    """Within the export's folder."""
    size_bytes: int
    sha256: str


class RuntimeRecord(Record):
    """A program that runs exports, and the package that it comes with."""

    program: str
    package: str
    version: str | None = None
    """None where it is not installed."""


class SampleRecord(DataRecord):
    """The speech that an export was tried on."""

    what: str


class DifferencesRecord(Record):
    """The largest difference of any logit between an export and the model; None where they were not compared."""

    read_back: float | None = None
    """As eartune opens the export."""
    as_written: float | None = None
    """As the writer of the format measured it."""


class MadeFromRecord(Record):
    """The model that was exported, and how it was tuned, as in its origin.json."""

    model: str
    """As the user named it."""
    checkpoint: str | None = None
    """Of a run: best or last."""
    base_model: BaseModelRecord
    method: str | None = None
    data: dict[str, DataRecord] | None = None
    config: JsonObject | None = None
    metrics: dict[str, float] | None = None


class ExportRecord(Record):
    """What parity.json holds."""

    record_format: PositiveInt
    eartune: str
    """The version that wrote it."""
    format: str
    quantization: str
    family: FamilyName
    task: Task | None = None
    language: str | None = None
    """The one that is decoded where a clip names none."""
    language_token: str | None = None
    made_from: MadeFromRecord
    files: list[FileRecord]
    largest_difference: DifferencesRecord
    runtime: RuntimeRecord
    skipped: str | None = None
    """Why no runtime has tried it."""
    sample: SampleRecord | None = None
    parity: ParityRecord | None = None


def program_of(format: str) -> RuntimeRecord:
    """Return what runs a format here."""
    program, package = PROGRAMS[format]
    try:
        found = version(package)
    except PackageNotFoundError:
        found = None
    return RuntimeRecord(program=program, package=package, version=found)


def record_of(exported: Path) -> Path:
    """Return where the record of an export lies: beside a file that a user named, else in its folder."""
    beside = exported.with_name(f"{exported.name}.{RECORD}")
    if exported.is_dir():
        return exported / RECORD
    return beside if beside.is_file() else exported.parent / RECORD


def read_record(exported: Path) -> ExportRecord | None:
    """Return what is known of an export; None where it lies alone.

    Raises InputError in one line where the record is damaged or was written by a newer eartune.
    """
    path = record_of(exported)
    if not path.is_file():
        return None
    return read_record_file(path, ExportRecord, advice=_ADVICE, format_key="record_format", newest_format=FORMAT)


def write_record(path: Path, record: ExportRecord) -> None:
    """Write the record of an export."""
    write_record_file(path, record)


def describe_files(exported: Path) -> list[FileRecord]:
    """Describe the files of an export."""
    paths = sorted(exported.rglob("*")) if exported.is_dir() else [exported]
    root = exported if exported.is_dir() else exported.parent
    return [
        FileRecord(name=path.relative_to(root).as_posix(), size_bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in paths
        if path.is_file() and path.name not in (RECORD, "README.md")
    ]
