"""Read configuration files, YAML or JSON, as raw values with the line where each of them stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eartune.errors import InputError


@dataclass(frozen=True)
class RawValue:
    """A value as it was given: under which name, and where ('train.yaml:12' or 'command line')."""

    name: str
    value: Any
    where: str


class _Loader(yaml.SafeLoader):
    """YAML whose only booleans are true and false, so that `language: no` stays Norwegian."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")


def parse_value(text: str) -> Any:
    """Turn one value from a command line into what a YAML file would have given; broken YAML stays text."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


def read_config_file(path: Path) -> list[RawValue]:
    """Read the pairs of one file in their order. Raises InputError for a file that cannot be read or parsed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the configuration file in it") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    values = _read_json(path, text) if path.suffix.lower() == ".json" else _read_yaml(path, text)
    _refuse_duplicates(path, values)
    return values


def _read_yaml(path: Path, text: str) -> list[RawValue]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return []
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"{path}: holds no `key: value` pairs; see docs/configuration.md")
        return [
            RawValue(str(key.value), loader.construct_object(value, deep=True), f"{path}:{key.start_mark.line + 1}")
            for key, value in root.value
        ]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: is not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not valid YAML: {error}") from None
    finally:
        loader.dispose()


def _read_json(path: Path, text: str) -> list[RawValue]:
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: is not valid JSON: {error.msg}") from None
    if not isinstance(pairs, _Pairs):
        raise InputError(f"{path}: holds no object with keys; see docs/configuration.md")
    return [RawValue(key, _plain(value), f"{path}:{_line_of_key(text, key)}") for key, value in pairs]


class _Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, duplicates included."""


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(inner) for key, inner in value}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _line_of_key(text: str, key: str) -> int:
    found = re.search(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _refuse_duplicates(path: Path, values: list[RawValue]) -> None:
    first: dict[str, RawValue] = {}
    for value in values:
        earlier = first.setdefault(value.name, value)
        if earlier is not value:
            raise InputError(f"{value.where}: {value.name} is set twice in {path.name}, first at {earlier.where}")
