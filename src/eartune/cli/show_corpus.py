"""Terminal output of `eartune prepare`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from eartune.family import families
from eartune.prepare.corpus import AUDIT_FILE, PreparedCorpus


def show_prepared(prepared: PreparedCorpus, out: Path, *, console: Console | None = None) -> None:
    """Print the size of each split, suspect rows, and the next command."""
    console = console or Console(highlight=False)
    table = Table()
    table.add_column("")
    for heading in ("utterances", "minutes", "speakers"):
        table.add_column(heading, justify="right")
    for split, sizes in prepared.audit["splits"].items():
        table.add_row(split, str(sizes["utterances"]), f"{60 * sizes['hours']:.1f}", str(sizes["speakers"] or "?"))
    console.print(table)
    for path in (*prepared.manifests.values(), out / AUDIT_FILE):
        console.print(str(path), markup=False, soft_wrap=True)
    named = " ".join(
        f"--{split} {prepared.manifests[split]}" for split in ("train", "val") if split in prepared.manifests
    )
    family = next(iter(families().values()))
    console.print(
        f"next: eartune train {family.name} --base-model {family.example} {named}", markup=False, soft_wrap=True
    )
    # last, where the user sees them first
    for note in prepared.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
