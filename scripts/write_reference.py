"""Write what documentation is made from the code: docs/configuration.md, docs/cli.md, and tables of the families."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from eartune.cli.main import VERBS
from eartune.config.reference import configuration_page
from eartune.family import Family, families, joined
from eartune.files import write_text_atomic

ROOT = Path(__file__).resolve().parent.parent


def pages() -> dict[str, str]:
    """Return every page that is generated, or has generated tables, by its path."""
    return {
        "docs/configuration.md": configuration_page(),
        "docs/cli.md": command_line_page(),
        "docs/exporting.md": with_table("docs/exporting.md", "formats", formats_table()),
        "README.md": with_table("README.md", "models", models_table()),
    }


def with_table(page: str, name: str, table: str) -> str:
    """Return a page with its table of this name replaced."""
    text = (ROOT / page).read_text(encoding="utf-8")
    before, after = f"<!-- {name}: made by make docs -->\n", "<!-- end -->"
    return re.sub(f"{before}.*?{after}", lambda _: f"{before}{table}{after}", text, flags=re.DOTALL)


def models_table() -> str:
    """Return a table of the families: what they are, and what becomes of them."""
    rows = ["| models | for example | tasks | utterances up to | exports |", "|---|---|---|---|---|"]
    for family in families().values():
        cells = [family.title, f"`{family.example}`", ", ".join(family.tasks), f"{family.max_duration_s:g} s"]
        rows.append(f"| {' | '.join([*cells, ', '.join(family.formats)])} |")
    return "\n".join(rows) + "\n"


def formats_table() -> str:
    """Return a table of the export formats, with the families that have them."""
    found: dict[tuple[str, str, str], list[Family]] = {}
    for family in families().values():
        for name, declared in family.formats.items():
            kinds = ", ".join(declared.quantizations) if len(declared.quantizations) > 1 else ""
            found.setdefault((name, declared.description, kinds), []).append(family)
    rows = ["| `--to` | models | is | `--quantize` (the first is the default) |", "|---|---|---|---|"]
    for (name, description, kinds), owners in found.items():
        rows.append(f"| `{name}` | {joined([family.title for family in owners])} | {description} | {kinds} |")
    return "\n".join(rows) + "\n"


def command_line_page() -> str:
    """Describe each command by its own --help; train's options are on the page of the configuration."""
    parts = ["# Command line\n", "This page is generated from the code: `make docs`.\n"]
    for verb, what in VERBS.items():
        parts.append(f"## eartune {verb}\n\n{what[0].upper()}{what[1:]}.\n")
        if verb == "train":
            parts.append(
                f"`eartune train [{'|'.join(families())}] [--config FILE ...] [--preset NAME] [--print-config] "
                "[--OPTION VALUE ...]`\n"
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
        write_text_atomic(ROOT / name, text)
        print(name)
