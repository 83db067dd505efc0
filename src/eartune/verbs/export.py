"""export: a run or a model -> a file or folder for where it is to run, read back before it counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eartune.base_model import BaseModel
from eartune.errors import InputError
from eartune.families.registry import nemo_writer
from eartune.files import new_file
from eartune.nemo.certify import certify
from eartune.reporting import Reporter, Silent
from eartune.verbs.merge import open_merged, write_folder
from eartune.verbs.open_model import Checkpoint, Located, locate
from eartune.verbs.quiet import quieten_libraries

Format = Literal["nemo", "hf"]


@dataclass(frozen=True)
class Exported:
    """What was written, from which checkpoint of a run, and the largest difference of its logits."""

    path: Path
    format: Format
    checkpoint: str | None
    largest_difference: float


def export(
    model: str,
    *,
    to: Format,
    out: Path,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    original: Path | None = None,
    replace: bool = False,
    reporter: Reporter | None = None,
) -> Exported:
    """Write a run (its best checkpoint), an adapter or a model to `out`, with adapters merged.

    `original` is the .nemo file whose configuration and tokenizer a .nemo takes over; by default the base model's own.
    Raises InputError where something is missing or `out` is taken (unless `replace`), and EartuneError where what was
    written answers differently by more than 1e-4 in any logit; then nothing is left at `out`.
    """
    report = reporter or Silent()
    quieten_libraries()
    located = locate(model, checkpoint=checkpoint, base_model=base_model)
    if to == "nemo":
        archive = original or _original_archive(located)
        if out.suffix != ".nemo":
            raise InputError(f"--out: {out} does not end in .nemo, which NeMo expects; name a file such as model.nemo")
        if out.exists() and not replace:
            raise InputError(f"{out}: is there already; name another file, or delete it")
        if out.resolve() == archive.resolve():
            raise InputError(f"{out}: is the original archive itself; name another file")
        difference = _write_nemo(located, archive, out, report)
    else:
        difference = write_folder(located, out, replace=replace)
    told = f"{located.spec} ({located.checkpoint}/)" if located.checkpoint else located.spec
    report.line(f"wrote {told} to {out}: read back, its logits agree within {difference:.1g}")
    return Exported(out, to, located.checkpoint, difference)


def _original_archive(located: Located) -> Path:
    """Return the .nemo file that a model began as."""
    base = located.base
    recorded = located.origin.get("base_model") or {}
    for kind, path in ((base.kind, base.path), (recorded.get("kind"), Path(recorded.get("path", "")))):
        if kind == "nemo" and path.is_file():
            return path
    raise InputError(
        f"{located.spec}: did not begin as a .nemo file here; name the one to take configuration and tokenizer from: "
        "--original MODEL.nemo"
    )


def _write_nemo(located: Located, archive: Path, out: Path, report: Reporter) -> float:
    speech, answers = open_merged(located)
    with new_file(out) as aside:
        # NeMo goes by the ending
        written = aside.with_name(f"{aside.name}.nemo")
        try:
            nemo_writer(located.family)(speech, archive, written)
            difference = answers.prove(BaseModel(str(written), "nemo", written, sha256=""))
            in_nemo = certify(written, speech)
            written.replace(aside)
        finally:
            written.unlink(missing_ok=True)
    if in_nemo is not None:
        report.line(f"NeMo restores {out}, and its encoder agrees within {in_nemo:.1g}")
    return difference
