"""export: a run or a model -> a file or folder for where it is to run, read back before it counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from peft import PeftModel

from eartune.errors import EartuneError, InputError
from eartune.families.registry import nemo_writer
from eartune.files import new_directory, new_file
from eartune.nemo.certify import certify
from eartune.reporting import Reporter, Silent
from eartune.run_dir import write_origin
from eartune.speech_model import SpeechModel
from eartune.training.adaptation.adapter_files import MERGE_TOLERANCE, logits
from eartune.training.adaptation.adapter_files import merge as merge_adapter
from eartune.verbs.open_model import Checkpoint, Located, adapted_network, locate, open_located
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
    speech = open_located(located)
    probe = speech.probe_inputs()
    expected = logits(speech.network, probe, dtype=torch.float32)
    if isinstance(speech.network, PeftModel):
        speech.network = merge_adapter(adapted_network(speech))
    if to == "nemo":
        difference = _write_nemo(located, speech, archive, out, probe, expected, report)
    else:
        difference = _write_folder(located, speech, out, probe, expected, replace=replace)
    _refuse_difference(difference)
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


def _write_nemo(
    located: Located,
    speech: SpeechModel,
    archive: Path,
    out: Path,
    probe: dict[str, torch.Tensor],
    expected: torch.Tensor,
    report: Reporter,
) -> float:
    with new_file(out) as aside:
        # NeMo goes by the ending
        written = aside.with_name(f"{aside.name}.nemo")
        try:
            nemo_writer(located.family)(speech, archive, written)
            difference = _difference(locate(str(written)), probe, expected)
            _refuse_difference(difference)
            in_nemo = certify(written, speech)
            written.replace(aside)
        finally:
            written.unlink(missing_ok=True)
    if in_nemo is not None:
        report.line(f"NeMo restores {out}, and its encoder agrees within {in_nemo:.1g}")
    return difference


def _write_folder(
    located: Located,
    speech: SpeechModel,
    out: Path,
    probe: dict[str, torch.Tensor],
    expected: torch.Tensor,
    *,
    replace: bool,
) -> float:
    with new_directory(out, replace=replace) as aside:
        speech.save(aside)
        difference = _difference(locate(str(aside), family_name=located.family), probe, expected)
        _refuse_difference(difference)
        known = ("method", "data", "config", "metrics")
        inherited = {name: located.origin[name] for name in known if name in located.origin}
        write_origin(
            aside,
            kind="model",
            family=located.family,
            task=located.task,
            language=located.language,
            base_model=located.base.to_json(),
            parent=str(located.folder or located.spec),
            **inherited,
        )
    return difference


def _difference(written: Located, probe: dict[str, torch.Tensor], expected: torch.Tensor) -> float:
    """Return the largest difference between logits of what was written, read back, and those expected."""
    return float((logits(open_located(written).network, probe, dtype=torch.float32) - expected).abs().max())


def _refuse_difference(difference: float) -> None:
    if not difference <= MERGE_TOLERANCE:
        raise EartuneError(
            f"the exported model answers differently: logits differ by {difference:.2g}, and {MERGE_TOLERANCE:g} is "
            "allowed; nothing was written"
        )
