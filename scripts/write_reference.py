"""Write the pages of documentation that are made from the code: docs/configuration.md and docs/cli.md."""

from __future__ import annotations

import importlib
from pathlib import Path

from eartune.cli.main import VERBS
from eartune.config.reference import configuration_page
from eartune.files import write_text_atomic

DOCS = Path(__file__).resolve().parent.parent / "docs"


def pages() -> dict[str, str]:
    """Return every generated page by its name in docs/."""
    return {"configuration.md": configuration_page(), "cli.md": command_line_page()}


def command_line_page() -> str:
    """Describe each command by its own --help; train's options are on the page of the configuration."""
    parts = ["# Command line\n", "This page is generated from the code: `make docs`.\n"]
    for verb, what in VERBS.items():
        parts.append(f"## eartune {verb}\n\n{what[0].upper()}{what[1:]}.\n")
        if verb == "train":
            parts.append(
                "`eartune train [whisper] [--config FILE ...] [--preset NAME] [--print-config] [--OPTION VALUE ...]`\n"
                "\nEvery option, with its default and its other names: [configuration.md](configuration.md).\n"
            )
            continue
        parser = importlib.import_module(f"eartune.cli.{verb}").build_parser()
        parts.append(f"```\n{parser.format_help().strip()}\n```\n")
    parts.append(
        "## Exit codes\n\n0 done, 2 the input is wrong, 1 anything else, 130 interrupted. Results go to standard\n"
        "output, progress and messages to standard error. `EARTUNE_DEBUG=1` adds a traceback to unexpected errors;\n"
        "`EARTUNE_CACHE` is where fetched files are kept."
    )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    for name, text in pages().items():
        write_text_atomic(DOCS / name, text)
        print(f"docs/{name}")
