"""Merge defaults, preset, files and command line into one TrainConfig, or report everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eartune.config import checks
from eartune.config.options import Option, Section
from eartune.config.presets import PRESETS, preset_values
from eartune.config.refused import refusal
from eartune.config.sources import RawValue, read_config_file
from eartune.config.train_config import BY_NAME, OPTIONS, SECTIONS, TrainConfig
from eartune.errors import InputError, nearest, raise_findings
from eartune.family import families
from eartune.parsing import parse_option, refuse_lone_surrogates


def resolve_config(
    family: str | None = None,
    *,
    files: Sequence[Path] = (),
    overrides: Sequence[RawValue] = (),
    complete: bool = True,
    family_of: Callable[[str], str | None] = lambda base_model: None,  # noqa: ARG005
) -> TrainConfig:
    """Resolve a configuration; later files win over earlier ones and overrides over files.

    `complete=False` lets required options be missing (to show what is set so far). Where no family is named,
    `family_of` is asked for that of the base model.
    Raises InputError that lists every finding.
    """
    given = [value for path in files for value in read_config_file(path)]
    findings = _unwritable(overrides)
    named = _take("family", given, overrides) or family
    known = list(families())
    family = named or known[0]
    if family not in known:
        findings.append(f"family: {family!r} is not known; this version trains {', '.join(known)}")
        family = known[0]
    raw: dict[str, RawValue] = {}
    for source in (given, overrides):
        raw |= _named(source, findings)
    if named is None and "base_model" in raw and isinstance(raw["base_model"].value, str):
        family = family_of(raw["base_model"].value) or family
    raw = _preset(_take("preset", given, overrides), family, findings) | raw
    sections = _validate(raw, findings)
    provenance = {option.name: "default" for option in OPTIONS}
    provenance |= {name: _origin(name, value) for name, value in raw.items()}
    provenance["family"] = "command line or file" if named else "base model or default"
    raise_findings(findings, summary="The configuration has errors:")
    config = TrainConfig(family=family, provenance=provenance, **sections)  # type: ignore[arg-type]
    config = checks.fill_in(config)
    raise_findings(checks.disagreements(config, complete=complete), summary="The configuration has errors:")
    return config


def override(name: str, value: Any, *, where: str = "command line") -> RawValue:
    """Make a RawValue from a command line's text or a Python value."""
    option = BY_NAME.get(name.replace("-", "_"))
    if isinstance(value, str) and option is not None and option.type_name not in ("text", "path", "list of path"):
        value = parse_option(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0].startswith("["):
        value = parse_option(value[0])
    return RawValue(name, value, where)


def _take(name: str, *sources: Sequence[RawValue]) -> Any:
    found = [value.value for source in sources for value in source if value.name == name]
    return found[-1] if found else None


def _unwritable(values: Sequence[RawValue]) -> list[str]:
    """Return what is wrong with values that no file of a run could hold; those of files are checked as they are read.

    A command line's bytes that are not UTF-8 are halves of characters to Python.
    """
    findings = []
    for value in values:
        try:
            refuse_lone_surrogates(value.value, where=f"{value.where}: {value.name}")
        except InputError as error:
            findings.append(str(error))
    return findings


def _preset(preset: Any, family: str, findings: list[str]) -> dict[str, RawValue]:
    if preset is None:
        return {}
    if not isinstance(preset, str) or preset not in PRESETS:
        findings.append(f"preset: {preset!r} is not one of {', '.join(PRESETS)}.{nearest(str(preset), list(PRESETS))}")
        return {}
    return {name: RawValue(name, value, f"preset {preset}") for name, value in preset_values(preset, family).items()}


def _named(source: Sequence[RawValue], findings: list[str]) -> dict[str, RawValue]:
    """Key the values of one source by canonical name; a later value of the same option wins."""
    named: dict[str, RawValue] = {}
    for value in source:
        name = value.name.replace("-", "_")
        if name in ("family", "preset"):
            continue
        option = BY_NAME.get(name)
        if option is None:
            findings.append(f"{value.where}: {_unknown(value.name)}")
            continue
        earlier = named.get(option.name)
        # an alias left empty, as in a template, says nothing against the one that is filled in
        if earlier is not None and earlier.name != value.name and value.value is None:
            continue
        clash = earlier is not None and earlier.name != value.name and earlier.value not in (None, value.value)
        if earlier is not None and clash and _file(earlier) == _file(value):
            findings.append(
                f"{value.where}: {value.name} and {earlier.name} ({earlier.where}) are the same option "
                f"with different values: keep one"
            )
        named[option.name] = value
    return named


def _file(value: RawValue) -> str:
    return value.where.rpartition(":")[0]


def _unknown(name: str) -> str:
    plain = name.replace("-", "_")
    why = refusal(plain)
    if why is not None:
        return f"{name}: {why}"
    return f"{name}: no such key.{nearest(plain, [*BY_NAME, 'preset', 'family'])}"


def _validate(raw: Mapping[str, RawValue], findings: list[str]) -> dict[str, Section]:
    sections: dict[str, Section] = {}
    for section_name, section in SECTIONS.items():
        values = {name: item.value for name, item in raw.items() if BY_NAME[name].section == section_name}
        try:
            sections[section_name] = section.model_validate(values)
        except ValidationError as error:
            wrong = {str(detail["loc"][0]): detail["msg"] for detail in reversed(error.errors())}
            findings += [_wrong_value(raw[name], BY_NAME[name], message) for name, message in wrong.items()]
    return sections


def _wrong_value(given: RawValue, option: Option, message: str) -> str:
    if option.choices:
        expected = f"expected one of {', '.join(option.choices)}.{nearest(str(given.value), option.choices)}"
    elif message.startswith("Input should be") and "valid" not in message:
        expected = f"it s{message.removeprefix('Input s')}"
    else:
        expected = f"expected {option.type_name}"
    return f"{given.where}: {given.name}: found {given.value!r}; {expected}"


def _origin(name: str, given: RawValue) -> str:
    return given.where if given.name == name else f"{given.where} (as {given.name})"
