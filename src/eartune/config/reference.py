"""Help text and documentation page of the options, and the listing of one configuration."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from eartune.config.options import Option
from eartune.config.presets import PRESETS
from eartune.config.refused import REFUSED
from eartune.config.train_config import OPTIONS, SECTIONS, TrainConfig
from eartune.family import families

HELP_WIDTH = 100


def options_help() -> str:
    """Describe every option for `eartune train --help`."""
    blocks = []
    for name, section in SECTIONS.items():
        lines = [f"{_heading(section.__doc__)}"]
        for option in OPTIONS:
            if option.section == name:
                lines += _option_help(option)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _option_help(option: Option) -> list[str]:
    flags = [*option.flags, *(f"--{name.replace('_', '-')}" for name in option.names)]
    first = f"  {', '.join(flags)}  {_metavar(option)}"
    default = "" if option.default in (None, ()) else f" Default: {_plain(option.default)}."
    return [first, *textwrap.wrap(option.help + default, HELP_WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _metavar(option: Option) -> str:
    if option.choices:
        return "{" + ",".join(option.choices) + "}"
    if option.kind == "flag":
        return "[" + re.sub(r" or |/| \| ", "|", option.type_name) + "]"
    return {"list": "VALUE ...", "mapping": "JSON"}.get(option.kind, option.type_name.upper())


def configuration_page() -> str:
    """Return the text of docs/configuration.md."""
    parts = [
        "# Configuration\n",
        "All options of `eartune train`. Set them in a YAML or JSON file (`--config FILE`) or on the command line\n"
        "with `-` or `_` (`--learning-rate 1e-4`). Precedence: defaults < preset < file < command line;\n"
        "`--print-config` prints every resolved value with its source. Unknown keys are refused, with the nearest\n"
        "known name.\n",
        "This page is generated from the code: `make docs`.\n",
    ]
    for name, section in SECTIONS.items():
        parts.append(f"## {_heading(section.__doc__)}\n\n| key | value | default | meaning |\n|---|---|---|---|")
        parts += [_row(option) for option in OPTIONS if option.section == name]
        parts.append("")
    parts.append(
        "## Presets\n\n`preset: NAME` or `--preset NAME`. Values in a file or on the command line override them.\n"
    )
    parts.append("| preset | values |\n|---|---|")
    for name, values in PRESETS.items():
        parts.append(f"| {name} | {_pairs(values)} |")
        others = {family.name: family.presets[name] for family in families().values() if name in family.presets}
        parts += [f"| {name}, changed for {family} | {_pairs(differing)} |" for family, differing in others.items()]
    parts.append("\n## Options of other tools that are refused\n\n| key | what to do |\n|---|---|")
    parts += [f"| `{name}` | {advice} |" for name, advice in REFUSED.items()]
    return "\n".join(parts) + "\n"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}: {_plain(value)}`" for key, value in values.items())


def _row(option: Option) -> str:
    names = f"`{option.name}`"
    if option.aliases:
        names += "<br>" + ", ".join(f"`{alias}`" for alias in option.aliases)
    kind = option.type_name.replace("|", "\\|")
    return f"| {names} | {kind} | {'' if option.default in (None, ()) else _plain(option.default)} | {option.help} |"


def listing(config: TrainConfig) -> str:
    """Return every resolved value with its source, one per line."""
    shown = [(name, _plain(value), config.provenance[name]) for name, value in config.values().items()]
    widest_name = max(len(name) for name, _, _ in shown)
    widest_value = min(48, max(len(value) for _, value, _ in shown))
    return "\n".join(f"{name:<{widest_name}}  {value:<{widest_value}}  # {origin}" for name, value, origin in shown)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return " ".join(map(_plain, value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _heading(docstring: str | None) -> str:
    assert docstring is not None
    return docstring.strip().splitlines()[0]
