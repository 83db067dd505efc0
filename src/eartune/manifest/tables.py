"""CSV and TSV: delimiter, columns and cells, with or without a header.

A file separated by tabs or bars is read without quotes, as Common Voice's and LJSpeech's are, unless only quotes make
its rows equally wide. Excel's first line `sep=;` names the delimiter. Without a header, rows of a recording that exists
and its text are understood, with a speaker (Piper) or the text once more (LJSpeech).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from eartune.errors import InputError
from eartune.manifest.columns import missing_columns
from eartune.manifest.folding import fold
from eartune.manifest.locate import exists, locate

DELIMITERS = ",;\t|"
_WITHOUT_QUOTES = "\t|"
_EXCEL = re.compile(r"sep=([,;\t|])\r?\n")
# a file without a header is looked at as far as this, to tell its columns apart
_NUM_LOOKED_AT = 2000
# each speaker has at least so many rows on average
_ROWS_A_SPEAKER = 3

# (line on which it begins, cells or what is wrong)
Line = tuple[int, "list[str] | str"]


def read_table(path: Path, text: str) -> tuple[list[str], Iterator[Line]]:
    """Return the columns of a table and its lines. Raises InputError where it has no columns for audio and text."""
    excel = _EXCEL.match(text)
    if excel is not None:
        # an empty line keeps the numbers of the others
        text = text[excel.end() - 1 :]
    # newline="": lines end as csv itself ends them
    header = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    delimiter = excel[1] if excel else max(DELIMITERS, key=lambda mark: _fit(_columns(header, mark)))
    columns = _columns(header, delimiter)
    if missing_columns(columns):
        bare = _without_header(path.parent.resolve(), text, excel[1] if excel else DELIMITERS)
        if bare is not None:
            return bare
    lines = iter(_cells(text, delimiter))
    number, first = next(lines)
    if isinstance(first, str) or missing_columns(columns):
        problems = [first] if isinstance(first, str) else missing_columns(columns)
        advice = "A table begins with a line that names its columns, such as path,text,language."
        raise InputError("\n".join([*(f"{path}:{number}: {problem}" for problem in problems), advice]))
    return columns, lines


def _columns(header: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]


def _fit(columns: list[str]) -> tuple[int, int]:
    return -len(missing_columns(columns)), len(columns)


def _without_header(folder: Path, text: str, delimiters: str) -> tuple[list[str], Iterator[Line]] | None:
    """Read a table whose first cells are recordings from the first line on; None where it is not one."""
    for delimiter in delimiters:
        lines = _cells(text, delimiter)
        rows = [cells for _, cells in lines[:_NUM_LOOKED_AT] if isinstance(cells, list)]
        width = len(rows[0]) if rows else 0
        if width in (2, 3) and {len(row) for row in rows} == {width} and exists(locate(folder, rows[0][0])):
            columns = ["path", "text"] if width == 2 else _three_columns(rows)
            return None if columns is None else (columns, iter(lines))
    return None


def _three_columns(rows: Sequence[list[str]]) -> list[str] | None:
    """Tell LJSpeech's text and normalised text from Piper's speaker and text; None where neither is plain."""
    alike = sum(fold(second) == fold(third) for _, second, third in rows)
    speakers = [len({row[column] for row in rows}) * _ROWS_A_SPEAKER <= len(rows) for column in (1, 2)]
    if speakers == [True, False]:
        return ["path", "speaker", "text"]
    if speakers == [False, True]:
        return ["path", "text", "speaker"]
    return ["path", "text", "normalized_text"] if 2 * alike >= len(rows) else None


def _cells(text: str, delimiter: str) -> list[Line]:
    """Return all lines that are not empty."""
    if delimiter in _WITHOUT_QUOTES:
        plain = list(_parse(text, delimiter, csv.QUOTE_NONE))
        if len({len(cells) for _, cells in plain}) == 1:
            return [(line, [_unquoted(cell) for cell in cells]) for line, cells in plain]
    return list(_parse(text, delimiter, csv.QUOTE_MINIMAL))


def _parse(text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[Line]:
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
