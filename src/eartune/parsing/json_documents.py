"""JSON documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from eartune.errors import InputError
from eartune.parsing.shape import JsonObject, check_shape
from eartune.parsing.text import BOUNDS, Bounds, decode_utf8, read_text, refuse_lone_surrogates, then

T = TypeVar("T")
_DECODER = json.JSONDecoder()
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: Path, shape: type[T], *, advice: str = "", unique_keys: bool = False, bounds: Bounds = BOUNDS) -> T:
    """Read a JSON file as `shape`, as check_shape has it; `unique_keys` refuses an object that has a key twice.

    Raises InputError where it cannot be read, is not JSON, is beyond the bounds, or has another shape; `advice` says
    what to do then.
    """
    text = read_text(path, bounds=bounds, advice=advice)
    return parse_json(text, shape, where=str(path), advice=advice, unique_keys=unique_keys, bounds=bounds)


def parse_json(
    text: str | bytes,
    shape: type[T],
    *,
    where: str,
    line: int | None = None,
    advice: str = "",
    unique_keys: bool = False,
    lone_surrogates: bool = False,
    bounds: Bounds = BOUNDS,
) -> T:
    """Parse JSON as `shape`; `line` is that of the file `where` at which the text begins. Raises as read_json does.

    Halves of characters in texts are refused, too, unless `lone_surrogates` lets them pass.
    """
    pairs = _unique_pairs(where, advice) if unique_keys else None
    if isinstance(text, bytes):
        text = decode_utf8(text, where=where)
    value = _load(text, where, line, advice, bounds, pairs)
    place = where if line is None else f"{where}:{line}"
    if not lone_surrogates and "\\u" in text and _SURROGATE_ESCAPE.search(text):
        refuse_lone_surrogates(value, where=place)
    return check_shape(value, shape, where=place, advice=advice)


def parse_json_pairs(text: str, *, where: str) -> list[tuple[str, Any, int]]:
    """Parse a JSON object as (key, value, line) in their order, keys that occur twice included."""
    outermost: list[tuple[str, Any]] = []

    def note(pairs: list[tuple[str, Any]]) -> JsonObject:
        # the outermost object ends last
        outermost[:] = pairs
        return dict(pairs)

    if not isinstance(_load(text, where, None, "", BOUNDS, note), dict):
        raise InputError(f"{where}: is not a JSON object")
    found = [(key, value, _line_of_key(text, key)) for key, value in outermost]
    for key, value, line in found:
        refuse_lone_surrogates((key, value), where=f"{where}:{line}")
    return found


def parse_json_prefix(text: str, start: int) -> tuple[Any, int] | None:
    """Parse the JSON value that begins at `start`; return it and where it ends, or None where there is none."""
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def _load(
    text: str,
    where: str,
    line: int | None,
    advice: str,
    bounds: Bounds,
    pairs: Callable[[list[tuple[str, Any]]], JsonObject] | None,
) -> Any:
    try:
        value = (_DECODER if pairs is None else json.JSONDecoder(object_pairs_hook=pairs)).decode(text)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        at = f"{where}:{(line or 1) + error.lineno - 1}:{error.colno}"
        raise InputError(f"{at}: is not valid JSON: {message}{then(advice)}") from None
    except InputError:
        raise
    except RecursionError:
        raise _too_deep(text, where, line, advice, bounds.depth) from None
    except ValueError:
        # Python's own limit, which is above ours
        place = where if line is None else f"{where}:{line}"
        raise InputError(f"{place}: holds a number of more than {bounds.digits} digits{then(advice)}") from None
    if text.count("[") + text.count("{") > bounds.depth and _is_deeper(value, bounds.depth):
        raise _too_deep(text, where, line, advice, bounds.depth)
    return value


def _is_deeper(value: Any, most: int) -> bool:
    """Tell whether more than `most` lists and objects lie within one another."""
    level: list[Iterable[Any]] = [[value]]
    for _ in range(most + 1):
        inner = (each for outer in level for each in (outer.values() if type(outer) is dict else outer))
        level = [each for each in inner if type(each) is dict or type(each) is list]
        if not level:
            return False
    return True


def _too_deep(text: str, where: str, line: int | None, advice: str, most: int) -> InputError:
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > most:
            line = (line or 1) + text.count("\n", 0, match.start())
            break
    return InputError(f"{where}:{line or 1}: is nested more than {most} deep{then(advice)}")


def _unique_pairs(where: str, advice: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise InputError(f"{where}: has {key!r:.80} twice{then(advice)}")
            found[key] = value
        return found

    return unique


def _line_of_key(text: str, key: str) -> int:
    written = "|".join(re.escape(json.dumps(key, ensure_ascii=escaped)) for escaped in (False, True))
    found = re.search(rf"(?:{written})\s*:", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1
