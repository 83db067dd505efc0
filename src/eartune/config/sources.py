"""Read configuration files, YAML or JSON, as raw values with the line where each of them stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eartune.errors import InputError
from eartune.parsing import parse_json_pairs, parse_yaml_pairs, read_text

_ADVICE = "name a configuration file, as in docs/configuration.md"


@dataclass(frozen=True)
class RawValue:
    """A value as it was given: under which name, and where ('train.yaml:12' or 'command line')."""

    name: str
    value: Any
    where: str


def read_config_file(path: Path) -> list[RawValue]:
    """Read the pairs of one file in their order. Raises InputError for a file that cannot be read or parsed."""
    text = read_text(path, advice=_ADVICE)
    parse_pairs = parse_json_pairs if path.suffix.lower() == ".json" else parse_yaml_pairs
    values = [RawValue(name, value, f"{path}:{line}") for name, value, line in parse_pairs(text, where=str(path))]
    _refuse_duplicates(path, values)
    return values


def _refuse_duplicates(path: Path, values: list[RawValue]) -> None:
    first: dict[str, RawValue] = {}
    for value in values:
        earlier = first.setdefault(value.name, value)
        if earlier is not value:
            raise InputError(f"{value.where}: {value.name} is set twice in {path.name}, first at {earlier.where}")
