"""Parsed values checked against a declared type."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from eartune.errors import InputError
from eartune.parsing.text import then

T = TypeVar("T")
# Any: whatever JSON holds
JsonObject: TypeAlias = dict[str, Any]


def check_shape(value: object, shape: type[T], *, where: str, advice: str = "") -> T:
    """Return a parsed value as `shape`: a pydantic model, a TypedDict, or a type such as JsonObject or list[int].

    Sequences in a shape are lists, as JSON's are. Raises InputError that names the first key that is missing or of
    another type; nothing is converted.
    """
    if shape is object:
        # at a fifth of the cost, for a manifest's rows
        return cast(T, value)
    try:
        found: T = _adapter(cast(Any, shape)).validate_python(value, strict=True)
    except ValidationError as error:
        raise InputError(f"{where}: {_first_problem(error)}{then(advice)}") from None
    except RecursionError:
        raise InputError(f"{where}: is nested too deep{then(advice)}") from None
    return found


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    if problem["type"] == "missing":
        return f"has no {place}"
    if problem["type"] == "extra_forbidden":
        return f"has {place}, which is not known here"
    expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("dictionary", "mapping")
    expected = expected.partition(" or instance of ")[0]
    return f"{place + ' ' if place else ''}is {_shown(problem['input'])}, and {expected}"


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return f"{value!r:.80}"
