"""An export for tests of what is written, which leave its runtime out."""

from pathlib import Path
from typing import Any

from eartune.verbs.export import Exported, export


def export_one(model: Path | str, *, to: str, out: Path, **options: Any) -> Exported:
    """Write one format, without verifying it in its runtime."""
    return export(str(model), to=[to], out=out, judged=False, **options)[0]
