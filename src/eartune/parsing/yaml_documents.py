"""YAML documents of plain values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import yaml

from eartune.errors import InputError
from eartune.parsing.shape import check_shape
from eartune.parsing.text import BOUNDS, Bounds, decode_utf8, refuse_lone_surrogates, then

T = TypeVar("T")
_NUMBER = re.compile(r"[\d_:.+-]+", re.ASCII)


# Any: whichever loader is there, of libyaml or of Python alone
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _ExplainedErrors(yaml.constructor.SafeConstructor):
    """Values that YAML calls numbers, dates or booleans and that are none: errors with their line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r:.40} is not a value of the type {kind}", node.start_mark
            ) from error


class _Loader(_ExplainedErrors, _SafeLoader):  # type: ignore[misc]
    """YAML 1.1 without tags that make objects."""


class _OptionLoader(_ExplainedErrors, yaml.SafeLoader):
    """YAML whose only booleans are true and false, so that `language: no` stays Norwegian."""


_OptionLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_OptionLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"
)


def parse_yaml(text: str | bytes, shape: type[T], *, where: str, advice: str = "", bounds: Bounds = BOUNDS) -> T:
    """Parse YAML as `shape`, as check_shape has it.

    Raises InputError for broken YAML, tags that make objects, what is beyond the bounds, and another shape.
    """
    with _explained(where, advice):
        text = _checked(text, where, advice, bounds)
        value = yaml.load(text, Loader=_Loader)
    refuse_lone_surrogates(value, where=where)
    return check_shape(value, shape, where=where, advice=advice)


def compose_yaml(text: str, *, where: str, advice: str = "", bounds: Bounds = BOUNDS) -> yaml.Node | None:
    """Parse YAML as nodes that know where they stand, for editing a document in place."""
    with _explained(where, advice):
        return yaml.compose(_checked(text, where, advice, bounds), Loader=_Loader)


def parse_yaml_pairs(text: str, *, where: str) -> list[tuple[str, Any, int]]:
    """Parse a mapping of options as (key, value, line) in their order, keys that occur twice included.

    The only booleans are true and false, so that `language: no` stays Norwegian.
    """
    with _explained(where, ""):
        loader = _OptionLoader(_checked(text, where, "", BOUNDS))
        try:
            root = loader.get_single_node()
            if root is not None and not isinstance(root, yaml.MappingNode):
                raise InputError(f"{where}: holds no `key: value` pairs")
            pairs = [
                (_name(key, where), loader.construct_object(value, deep=True), key.start_mark.line + 1)
                for key, value in (root.value if root is not None else ())
            ]
        finally:
            loader.dispose()
    for _, value, line in pairs:
        refuse_lone_surrogates(value, where=f"{where}:{line}")
    return pairs


def parse_option(text: str) -> Any:
    """Turn one value of a command line into what a YAML file would have given; text that is not YAML stays text."""
    try:
        with _explained("", ""):
            return yaml.load(_checked(text, "", "", BOUNDS), Loader=_OptionLoader)
    except InputError:
        return text


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Write a mapping as YAML, in its order."""
    return str(yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False))


def quote_yaml(text: str) -> str:
    """Write a text as a YAML scalar in double quotes."""
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True)).strip()


def _checked(text: str | bytes, where: str, advice: str, bounds: Bounds) -> str:
    """Return the text of a document whose depth, number of values and digits are within the bounds."""
    if isinstance(text, bytes):
        text = decode_utf8(text, where=where)
    refuse_lone_surrogates(text, where=where)
    # of each open collection: its anchor, and the values in it so far
    open_collections: list[tuple[str | None, int]] = []
    sizes: dict[str | None, int] = {}
    total = 0
    # Any: its event classes are described without their attributes
    event: Any
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        size = 0
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_collections):
                raise InputError(f"{where}:{line}: *{event.anchor} stands for itself{then(advice)}")
            # one that is not known is the parser's to report
            size = sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if event.implicit[0] and len(event.value) > bounds.digits and _NUMBER.fullmatch(event.value):
                raise InputError(f"{where}:{line}: holds a number of {len(event.value)} characters{then(advice)}")
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_collections.append((event.anchor, total))
            size = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_collections.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        total += size
        if len(open_collections) > bounds.depth:
            raise InputError(f"{where}:{line}: is nested more than {bounds.depth} deep{then(advice)}")
        if total > bounds.values:
            raise InputError(f"{where}:{line}: holds more than {bounds.values} values{then(advice)}")
    return text


@contextmanager
def _explained(where: str, advice: str) -> Iterator[None]:
    """Turn a parser's error into one line with line and column."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise InputError(f"{place}: is not valid YAML: {error.problem or error.context}{then(advice)}") from None
    except yaml.reader.ReaderError as error:
        raise InputError(
            f"{where}: is not valid YAML: character U+{_code(error.character):04X} is not allowed{then(advice)}"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{where}: is not YAML that can be read ({reason}){then(advice)}") from None


def _name(key: yaml.Node, where: str) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise InputError(f"{where}:{key.start_mark.line + 1}: has a list or mapping in the place of a key")
    return str(key.value)


def _code(character: object) -> int:
    return ord(character[:1]) if isinstance(character, str | bytes) else int(str(character))
