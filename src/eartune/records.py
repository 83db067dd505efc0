"""JSON files that eartune writes and reads again: typed, frozen, with a format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from eartune.errors import InputError
from eartune.files import write_json_atomic
from eartune.parsing import JsonObject, check_shape, read_json

Task: TypeAlias = Literal["transcribe", "translate"]
_NAME_BYTES, _PATH_BYTES = 255, 4095


class Record(BaseModel):
    """A JSON object in such a file.

    Keys that this version does not know are kept, and a key that is absent stays absent when it is written again.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    def to_json(self) -> JsonObject:
        return self.model_dump(mode="json", exclude_unset=True)


R = TypeVar("R", bound=Record)


def read_record_file(path: Path, shape: type[R], *, advice: str, format_key: str = "", newest_format: int = 0) -> R:
    """Read a file as `shape`; `format_key` is where it says its format, if it has one.

    Raises InputError in one line where the format is newer than `newest_format`, or where anything is missing or of
    another type: file, key, what it should be, and `advice`.
    """
    found = read_json(path, JsonObject, advice=advice)
    written = found.get(format_key)
    if isinstance(written, int) and written > newest_format:
        raise InputError(f"{path}: was written by a newer eartune ({format_key} {written!s:.20}); update eartune")
    return check_shape(found, shape, where=str(path), advice=advice)


def write_record_file(path: Path, record: Record) -> None:
    """Write a record in place of an earlier one."""
    write_json_atomic(path, record.to_json())


def _require_two(values: list[float]) -> list[float]:
    if len(values) != 2:
        raise ValueError("should be [low, high]")
    return values


Interval: TypeAlias = Annotated[list[float], AfterValidator(_require_two)]


def _require_place(text: str) -> str:
    content = text.encode()
    longest = max(map(len, content.split(b"/")))
    if not text or "\0" in text or len(content) > _PATH_BYTES or longest > _NAME_BYTES:
        raise ValueError("should be a path or the id of a model")
    return text


Place: TypeAlias = Annotated[str, AfterValidator(_require_place)]
"""A path, or the id of a model on the hub: text that can be looked up in a file system."""
