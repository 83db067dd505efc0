"""Arguments and output of `eartune train [FAMILY] --config FILE --OPTION VALUE ...`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eartune.cli.main import Parser
from eartune.config import resolve_config
from eartune.config.options import Option
from eartune.config.presets import PRESETS
from eartune.config.reference import listing, options_help
from eartune.config.refused import refusal
from eartune.config.resolve import override
from eartune.config.sources import RawValue
from eartune.config.train_config import OPTIONS
from eartune.family import families

NOTE = "Options are written with - or _; a file (--config) takes the same names, and the command line overrides it."


class _Record(argparse.Action):
    """Records an option under the alias that was used, for messages and provenance."""

    def __call__(
        self, _parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        name = (option_string or self.dest).lstrip("-")
        if (option_string or "").startswith("-") and not (option_string or "").startswith("--"):
            name = self.dest
        value = True if values is None else values
        namespace.overrides.append(override(name, value))


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        names = "|".join(families())
        usage = f"usage: eartune train [{names}] [--config FILE ...] [--preset NAME] [--print-config] [OPTIONS]"
        print("\n\n".join([usage, str(parser.description), NOTE, _general_help(), options_help()]))
        parser.exit()


def _general_help() -> str:
    return (
        "General:\n"
        "  --config FILE ...\n      YAML or JSON files; later ones override earlier ones.\n"
        f"  --preset {{{','.join(PRESETS)}}}\n      Values for one machine; your own values override them.\n"
        "  --print-config\n      Print every resolved value with its source, and exit."
    )


def build_parser() -> Parser:
    """Make the parser from the descriptions of the options."""
    parser = Parser("train", add_help=False)
    parser.set_defaults(overrides=[])
    parser.add_argument("-h", "--help", action=_Help, nargs=0)
    parser.add_argument("--config", nargs="+", type=Path, default=[])
    parser.add_argument("--print-config", "--print_config", action="store_true")
    parser.add_argument("--preset", action=_Record)
    for option in OPTIONS:
        parser.add_argument(
            *_flags(option), dest=option.name, action=_Record, default=argparse.SUPPRESS, **_shape(option)
        )
    return parser


def _flags(option: Option) -> list[str]:
    spellings = [f"--{name.replace('_', mark)}" for name in option.names for mark in "-_"]
    return [*option.flags, *dict.fromkeys(spellings)]


def _shape(option: Option) -> dict[str, Any]:
    return {"list": {"nargs": "+"}, "flag": {"nargs": "?"}}.get(option.kind, {})


def _family_of(base_model: str) -> str | None:
    # imports huggingface_hub, which --help does not need
    from eartune.families.registry import family_of  # noqa: PLC0415

    return family_of(base_model)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse options. Refused names become overrides too, so that resolve_config reports their advice."""
    parser = build_parser()
    chosen, rest = parser.parse_known_args(list(words))
    name = ""
    for word in rest:
        # the value after a refused option may be a secret: it is dropped unread
        if word.startswith("-") or not name:
            name = word.lstrip("-").partition("=")[0]
            if refusal(name.replace("-", "_")) is None:
                parser.error(f"unrecognized arguments: {word}")
            chosen.overrides.append(RawValue(name, None, "command line"))
    return chosen


def run(words: Sequence[str]) -> int:
    """Train, or print the configuration."""
    family = words[0] if words and not words[0].startswith("-") else None
    chosen = parse(words[1:] if family else words)
    overrides: list[RawValue] = chosen.overrides
    config = resolve_config(
        family, files=chosen.config, overrides=overrides, complete=not chosen.print_config, family_of=_family_of
    )
    if chosen.print_config:
        print(listing(config))
        return 0
    # torch and transformers take seconds to import; --help and --print-config do not need them
    from eartune.cli.show import show_trained  # noqa: PLC0415
    from eartune.reporting import Terminal  # noqa: PLC0415
    from eartune.verbs.train import train  # noqa: PLC0415

    show_trained(train(config, reporter=Terminal()))
    return 0
