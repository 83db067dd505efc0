"""A file -> its rows, each with where it begins: JSON lines, JSON lists, CSV and TSV, told apart by their content.

Text is UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eartune.errors import InputError, nearest
from eartune.manifest.columns import missing_columns
from eartune.manifest.tables import read_table
from eartune.parsing import parse_json, parse_json_prefix, refuse_lone_surrogates

# Python keeps a byte that is not UTF-8 as one of these.
_UNDECODED = re.compile("[\udc80-\udcff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands, and where: 'train.csv:17', 'train.json: item 3'."""

    source: str
    # Any: whatever JSON holds
    values: dict[str, Any]


def read_rows(path: Path) -> list[Row | str]:
    """Return the rows of a manifest, and a finding in the place of each that cannot be read.

    Raises InputError where nothing of the file can be read: missing, binary, no rows, broken, a column missing.
    """
    text = _read_text(path)
    beginning = text.lstrip()[:1]
    read = {"[": _json_list, "{": _json_lines}.get(beginning, _table)
    rows = read(path, text) if beginning else []
    if not rows:
        raise InputError(f"{path}: holds no rows")
    return rows


def is_table(path: Path) -> bool:
    """Return whether a file holds rows with a recording and a transcript each, going by the first of them."""
    try:
        first = next((row for row in read_rows(path) if isinstance(row, Row)), None)
    except InputError:
        return False
    return first is not None and not missing_columns(list(first.values))


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise InputError(f"{path}: no such file.{near}") from None
    except OSError as error:
        if path.is_dir():
            raise InputError(f"{path}: is a directory; give a manifest, such as {path / 'train.jsonl'}") from None
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path}:1: is UTF-16; save it as UTF-8")
    if b"\0" in content[:4096]:
        raise InputError(f"{path}: is not text; give a manifest in JSON lines, JSON, CSV or TSV")
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _not_utf8(text: str) -> str | None:
    match = None if text.isascii() else _UNDECODED.search(text)
    if match is None:
        return None
    return f"is not UTF-8 (byte 0x{ord(match[0]) - 0xDC00:02x} at column {match.start() + 1}); save the file as UTF-8"


def _json_list(path: Path, text: str) -> list[Row | str]:
    for line, content in enumerate(text.split("\n") if _not_utf8(text) else [], start=1):
        if problem := _not_utf8(content):
            raise InputError(f"{path}:{line}: {problem}")
    items = parse_json(text, list[Any], where=str(path), lone_surrogates=True)
    read = _row_of_any_text if _SURROGATE_ESCAPE.search(text) else _row
    return [read(f"{path}: item {number}", item) for number, item in enumerate(items, start=1)]


def _json_lines(path: Path, text: str) -> list[Row | str]:
    lines = text.split("\n")
    first = next(line for line in lines if line.strip())
    if not _is_json(first) and (objects := _json_objects(path, text)):
        return objects
    name = str(path)
    return [_json_row(name, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _json_row(name: str, number: int, text: str) -> Row | str:
    source = f"{name}:{number}"
    if problem := _not_utf8(text):
        return f"{source}: {problem}"
    try:
        return _row(source, parse_json(text, object, where=name, line=number))
    except InputError as error:
        return str(error)


def _json_objects(path: Path, text: str) -> list[Row | str]:
    """Read objects that are spread over several lines; nothing where that is not what the file holds."""
    rows: list[Row | str] = []
    position, line = 0, 1
    while rest := re.compile(r"\s*").match(text, position):
        line += text.count("\n", position, rest.end())
        if rest.end() == len(text):
            break
        found = parse_json_prefix(text, rest.end())
        if found is None:
            return []
        _, position = found
        rows.append(_json_row(str(path), line, text[rest.end() : position]))
        line += text.count("\n", rest.end(), position)
    return rows


def _is_json(line: str) -> bool:
    found = parse_json_prefix(line, len(line) - len(line.lstrip()))
    return found is not None and not line[found[1] :].strip()


def _row_of_any_text(source: str, item: object) -> Row | str:
    try:
        refuse_lone_surrogates(item, where=source)
    except InputError as error:
        return str(error)
    return _row(source, item)


def _row(source: str, item: object) -> Row | str:
    return Row(source, item) if isinstance(item, dict) else f"{source}: is not a JSON object: {repr(item)[:40]}"


def _table(path: Path, text: str) -> list[Row | str]:
    columns, lines = read_table(path, text)
    if problem := next(filter(None, map(_not_utf8, columns)), None):
        raise InputError(f"{path}:1: {problem}")
    return [_table_row(f"{path}:{number}", columns, cells) for number, cells in lines]


def _table_row(source: str, columns: list[str], cells: list[str] | str) -> Row | str:
    if isinstance(cells, str):
        return f"{source}: {cells}"
    problem = next(filter(None, map(_not_utf8, cells)), None)
    if problem:
        return f"{source}: {problem}"
    if any(cell.strip() for cell in cells[len(columns) :]):
        return f"{source}: has {len(cells)} cells under {len(columns)} columns; put text with a delimiter in quotes"
    if len(cells) < len(columns) and missing_columns(columns[: len(cells)]):
        return f"{source}: has {len(cells)} cells under {len(columns)} columns; it ends before its text"
    return Row(source, dict(zip(columns, cells, strict=False)))
