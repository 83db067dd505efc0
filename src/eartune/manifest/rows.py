"""A file -> its rows, each with where it begins: JSON lines, JSON lists, CSV and TSV, told apart by their content.

Text is UTF-8, with or without a byte order mark. A tab-separated file is read without quotes, as Common Voice's are,
unless only quotes make its rows equally wide.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from eartune.errors import InputError, nearest
from eartune.manifest.fields import KNOWN_NAMES, missing_columns

DELIMITERS = ",;\t"

# Python keeps a byte that is no UTF-8 as one of these.
_UNDECODED = re.compile("[\udc80-\udcff]")


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
        raise InputError(f"{path}: is no text; give a manifest in JSON lines, JSON, CSV or TSV")
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
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: {_broken_json(error)}") from None
    return [_row(f"{path}: item {number}", item) for number, item in enumerate(items, start=1)]


def _json_lines(path: Path, text: str) -> list[Row | str]:
    lines = text.split("\n")
    if not _is_json(next(line for line in lines if line.strip())) and (objects := _json_objects(path, text)):
        return objects
    rows: list[Row | str] = []
    for number, line in enumerate(lines, start=1):
        source = f"{path}:{number}"
        if not line.strip():
            continue
        if problem := _not_utf8(line):
            rows.append(f"{source}: {problem}")
            continue
        try:
            rows.append(_row(source, json.loads(line)))
        except json.JSONDecodeError as error:
            rows.append(f"{source}: {_broken_json(error)}")
    return rows


def _json_objects(path: Path, text: str) -> list[Row | str]:
    """Read objects that are spread over several lines; nothing where that is not what the file holds."""
    rows: list[Row | str] = []
    decoder, position, line = json.JSONDecoder(), 0, 1
    while rest := re.compile(r"\s*").match(text, position):
        line += text.count("\n", position, rest.end())
        if rest.end() == len(text):
            break
        try:
            item, position = decoder.raw_decode(text, rest.end())
        except json.JSONDecodeError:
            return []
        rows.append(_row(f"{path}:{line}", item))
        line += text.count("\n", rest.end(), position)
    return rows


def _row(source: str, item: object) -> Row | str:
    return Row(source, item) if isinstance(item, dict) else f"{source}: is no JSON object: {repr(item)[:40]}"


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True


def _broken_json(error: json.JSONDecodeError) -> str:
    return f"broken JSON: {error.msg} at column {error.colno}"


def _table(path: Path, text: str) -> list[Row | str]:
    # newline="": lines end as csv itself ends them
    header = next(line for line in io.StringIO(text, newline="") if line.strip())
    delimiter = max(DELIMITERS, key=lambda mark: _fit(_columns(header, mark)))
    lines = iter(_cells(text, delimiter))
    number, first = next(lines)
    columns = _columns(header, delimiter)
    if problem := _not_utf8(header):
        raise InputError(f"{path}:{number}: {problem}")
    if isinstance(first, str) or missing_columns(columns):
        problems = [first] if isinstance(first, str) else missing_columns(columns)
        advice = "A table begins with a line that names its columns, such as path,text,language."
        raise InputError("\n".join([*(f"{path}:{number}: {problem}" for problem in problems), advice]))
    return [_table_row(f"{path}:{number}", columns, cells) for number, cells in lines]


def _table_row(source: str, columns: list[str], cells: list[str] | str) -> Row | str:
    if isinstance(cells, str):
        return f"{source}: {cells}"
    problem = next(filter(None, map(_not_utf8, cells)), None)
    if problem:
        return f"{source}: {problem}"
    if any(cell.strip() for cell in cells[len(columns) :]):
        return f"{source}: has {len(cells)} cells under {len(columns)} columns; put text with a delimiter in quotes"
    return Row(source, dict(zip(columns, cells, strict=False)))


def _columns(header: str, delimiter: str) -> list[str]:
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
    return [name.lower() if name.lower() in KNOWN_NAMES else name for name in names]


def _fit(columns: list[str]) -> tuple[int, int]:
    return -len(missing_columns(columns)), len(columns)


def _cells(text: str, delimiter: str) -> list[tuple[int, list[str] | str]]:
    """Return (line on which it begins, cells, or what is wrong) of all lines that are not empty."""
    if delimiter == "\t":
        plain = list(_parse(text, delimiter, csv.QUOTE_NONE))
        if len({len(cells) for _, cells in plain}) == 1:
            return [(line, [_unquoted(cell) for cell in cells]) for line, cells in plain]
    return list(_parse(text, delimiter, csv.QUOTE_MINIMAL))


def _parse(text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[tuple[int, list[str] | str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"broken table: {error}; is a quote opened and not closed? (read up to line {reader.line_num})"
            continue
        if any(cells):
            yield line, cells


def _unquoted(cell: str) -> str:
    inner = cell[1:-1].replace('""', "")
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner else cell
