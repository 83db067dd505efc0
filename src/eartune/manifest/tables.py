"""CSV and TSV: delimiter, columns and cells, with or without a header.

A file separated by tabs or bars is read without quotes, as Common Voice's and LJSpeech's are, unless its rows have
equal widths only with quotes. Excel's first line `sep=;` sets the delimiter. Without a header, rows of an existing
recording and its text are accepted, with a speaker (Piper) or a second text (LJSpeech).
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
from eartune.manifest.locate import exists, find_recording

DELIMITERS = ",;\t|"
_WITHOUT_QUOTES = "\t|"
_EXCEL = re.compile(r"sep=([,;\t|])\r?\n")
# rows from which the columns of a file without a header are inferred
_NUM_INSPECTED = 2000
# least average number of rows per speaker in a column of speakers
_ROWS_PER_SPEAKER = 3

# (number of its first line, cells or finding)
Line = tuple[int, "list[str] | str"]


def read_table(path: Path, text: str) -> tuple[list[str], Iterator[Line]]:
    """Return the columns of a table and its lines. Raises InputError where it has no columns for audio and text."""
    excel = _EXCEL.match(text)
    if excel is not None:
        # an empty line keeps the numbers of the others
        text = text[excel.end() - 1 :]
    # newline="" as the csv module requires
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
    """Read a table without a header, whose first column has paths of recordings; None if it is not one."""
    for delimiter in delimiters:
        lines = _cells(text, delimiter)
        rows = [cells for _, cells in lines[:_NUM_INSPECTED] if isinstance(cells, list)]
        width = len(rows[0]) if rows else 0
        if width in (2, 3) and {len(row) for row in rows} == {width} and exists(find_recording(folder, rows[0][0])):
            columns = ["path", "text"] if width == 2 else _three_columns(rows)
            return None if columns is None else (columns, iter(lines))
    return None


def _three_columns(rows: Sequence[list[str]]) -> list[str] | None:
    """Distinguish LJSpeech's text and normalised text from Piper's speaker and text; None if neither fits."""
    num_equal = sum(fold(second) == fold(third) for _, second, third in rows)
    speakers = [len({row[column] for row in rows}) * _ROWS_PER_SPEAKER <= len(rows) for column in (1, 2)]
    if speakers == [True, False]:
        return ["path", "speaker", "text"]
    if speakers == [False, True]:
        return ["path", "text", "speaker"]
    return ["path", "text", "normalized_text"] if 2 * num_equal >= len(rows) else None


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
