"""JSON documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from eartune.errors import InputError
from eartune.parsing.shape import check_shape
from eartune.parsing.text import BOUNDS, Bounds, decode_utf8, read_text, refuse_lone_surrogates, then

T = TypeVar("T")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: Path, shape: type[T], *, advice: str = "", bounds: Bounds = BOUNDS) -> T:
    """Read a JSON file as `shape`, as check_shape has it.

    Raises InputError where it cannot be read, is not JSON, is beyond the bounds, or has another shape; `advice` says
    what to do then.
    """
    return parse_json(
        read_text(path, bounds=bounds, advice=advice), shape, where=str(path), advice=advice, bounds=bounds
    )


def parse_json(
    text: str | bytes,
    shape: type[T],
    *,
    where: str,
    advice: str = "",
    unique_keys: bool = False,
    bounds: Bounds = BOUNDS,
) -> T:
    """Parse JSON as `shape`; `unique_keys` refuses an object that has a key twice. Raises InputError as read_json."""
    pairs = _unique_pairs(where, advice) if unique_keys else None
    return check_shape(_load(text, where, advice, bounds, pairs), shape, where=where, advice=advice)


def parse_json_pairs(text: str, *, where: str) -> list[tuple[str, Any, int]]:
    """Parse a JSON object as (key, value, line) in their order, keys that occur twice included."""
    pairs = _load(text, where, "", BOUNDS, _Pairs)
    if not isinstance(pairs, _Pairs):
        raise InputError(f"{where}: holds no object with keys")
    return [(key, _plain(value), _line_of_key(text, key)) for key, value in pairs]


def parse_json_prefix(text: str, start: int) -> tuple[Any, int] | None:
    """Parse the JSON value that begins at `start`; return it and where it ends, or None where there is none."""
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def _load(
    text: str | bytes,
    where: str,
    advice: str,
    bounds: Bounds,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None,
) -> Any:
    if isinstance(text, bytes):
        text = decode_utf8(text, where=where)
    if text.count("[") + text.count("{") > bounds.depth:
        _refuse_deep(text, where, advice, bounds.depth)
    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        raise InputError(f"{where}:{error.lineno}:{error.colno}: is not valid JSON: {message}{then(advice)}") from None
    except InputError:
        raise
    except ValueError:
        # Python's own limit, which is above ours
        raise InputError(f"{where}: holds a number of more than {bounds.digits} digits{then(advice)}") from None
    if _SURROGATE_ESCAPE.search(text):
        refuse_lone_surrogates(value, where=where)
    return value


def _refuse_deep(text: str, where: str, advice: str, most: int) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in ("[", "{"):
            depth += 1
        elif match[0] in ("]", "}"):
            depth -= 1
        if depth > most:
            line = text.count("\n", 0, match.start()) + 1
            raise InputError(f"{where}:{line}: is nested more than {most} deep{then(advice)}")


def _unique_pairs(where: str, advice: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise InputError(f"{where}: has {key!r:.80} twice{then(advice)}")
            found[key] = value
        return found

    return unique


class _Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, keys that occur twice included."""


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(inner) for key, inner in value}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _line_of_key(text: str, key: str) -> int:
    found = re.search(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1
