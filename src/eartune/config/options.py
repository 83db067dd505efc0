"""Options: typed fields of a section with their docstrings as help text, aliases and short flags."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from eartune.config.family_text import filled


@dataclass(frozen=True)
class Names:
    """Aliases of an option, accepted in files and on the command line; `flags` are short ones with one dash."""

    aliases: tuple[str, ...]
    flags: tuple[str, ...] = ()


def also(*aliases: str, flags: tuple[str, ...] = ()) -> Names:
    return Names(aliases, flags)


@dataclass(frozen=True)
class ResumeSafe:
    """Marks an option that may change when a run is resumed, as it does not change the training itself."""


class Section(BaseModel):
    """A group of options. The docstring of the class is the group's heading in the documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Option:
    """One option: `name` is the canonical name; `kind` selects how the command line parses its value."""

    name: str
    aliases: tuple[str, ...]
    flags: tuple[str, ...]
    section: str
    type_name: str
    kind: Literal["value", "flag", "list", "mapping"]
    choices: tuple[str, ...]
    default: Any
    help: str
    resume_safe: bool

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


def options_of(section_name: str, section: type[Section]) -> list[Option]:
    """List the options of one section, in the order of their definition."""
    return [_option(section_name, name, field) for name, field in section.model_fields.items()]


def _option(section_name: str, name: str, field: FieldInfo) -> Option:
    names = next((item for item in field.metadata if isinstance(item, Names)), Names(()))
    annotation = field.annotation
    # A list of pydantic's default_factory would hide the default from the documentation: sections use tuples.
    default = None if field.default is PydanticUndefined else field.default
    return Option(
        name=name,
        aliases=names.aliases,
        flags=names.flags,
        section=section_name,
        type_name=_type_name(annotation),
        kind=_kind(annotation),
        choices=_choices(annotation),
        default=default,
        help=filled(" ".join((field.description or "").split())),
        resume_safe=any(isinstance(item, ResumeSafe) for item in field.metadata),
    )


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union without None, each without its Annotated wrapper."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(member for part in get_args(annotation) if part is not type(None) for member in _members(part))
    return (annotation,)


def _kind(annotation: Any) -> Literal["value", "flag", "list", "mapping"]:
    members = _members(annotation)
    if any(get_origin(member) is tuple for member in members):
        return "list"
    if any(get_origin(member) is dict for member in members):
        return "mapping"
    # a flag that also takes words (true, false, memory, disk) may still be given without a value
    switches = bool in members and all(member is bool or get_origin(member) is Literal for member in members)
    return "flag" if switches else "value"


def _choices(annotation: Any) -> tuple[str, ...]:
    members = _members(annotation)
    if len(members) == 1 and get_origin(members[0]) is Literal:
        return tuple(str(choice) for choice in get_args(members[0]))
    return ()


def _type_name(annotation: Any) -> str:
    return " or ".join(dict.fromkeys(_member_name(member) for member in _members(annotation)))


def _member_name(member: Any) -> str:
    origin, arguments = get_origin(member), get_args(member)
    if origin is Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return "mapping"
    names = {str: "text", int: "integer", float: "number", bool: "true/false", Path: "path", Any: "any"}
    return names.get(member, str(member))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, (str, Path)) else value


# A single value is a list of one: `train: a.jsonl` and `train: [a.jsonl, b.jsonl]` are both valid.
Paths = Annotated[tuple[Path, ...], BeforeValidator(_as_list)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
