"""merge: an adapter and its base model -> a plain model folder, proven to answer the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from eartune.base_model import BaseModel
from eartune.errors import EartuneError, InputError
from eartune.families.registry import family
from eartune.files import new_directory
from eartune.reporting import Reporter, Silent
from eartune.run_dir import write_origin
from eartune.training.adaptation.adapter_files import MERGE_TOLERANCE, logits
from eartune.training.adaptation.adapter_files import merge as merge_adapter
from eartune.verbs.open_model import Checkpoint, Located, adapted_network, locate, open_located


@dataclass(frozen=True)
class Merged:
    """A merged model: where it is, from what, and how far its logits are from the adapted model's."""

    path: Path
    source: Path
    largest_difference: float


def merge(
    run: str,
    *,
    out: Path,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    replace: bool = False,
    reporter: Reporter | None = None,
) -> Merged:
    """Merge the adapter of a run (or an adapter folder) into its base model and write it to `out`.

    Raises InputError where there is no adapter or `out` is taken (unless `replace`), and EartuneError where the merged
    model, in memory or read back from disk, answers differently by more than 1e-4 in any logit; then nothing is
    written.
    """
    report = reporter or Silent()
    located = locate(run, checkpoint=checkpoint, base_model=base_model)
    if not located.is_adapter or located.folder is None:
        where = located.folder or run
        raise InputError(f"{run}: has no adapter to merge; {where} is a whole model already, use it as it is")
    with new_directory(out, replace=replace) as aside:
        speech = open_located(located)
        probe = speech.probe_inputs()
        expected = logits(speech.network, probe, dtype=torch.float32)
        speech.network = merge_adapter(adapted_network(speech))
        speech.save(aside)
        difference = _prove(located, aside, probe, expected)
        inherited = {n: located.origin.get(n) for n in ("method", "task", "language", "data", "config", "metrics")}
        write_origin(
            aside,
            kind="model",
            family=located.family,
            base_model=located.base.to_json(),
            parent=str(located.folder),
            merge_difference=difference,
            **inherited,
        )
    report.line(f"merged {located.folder} into {located.base.spec}: logits agree within {difference:.1g}")
    return Merged(path=out, source=located.folder, largest_difference=difference)


def _prove(located: Located, written: Path, probe: Mapping[str, torch.Tensor], expected: torch.Tensor) -> float:
    """Compare what was written, read back from disk, with the adapted model; return the largest difference.

    Compared in float32. In deep models the rounding of float32 alone can exceed the limit (each side strays from its
    own exact answer), so a difference beyond it is measured again in float64, where only the weights' own remains.
    """
    merged = BaseModel(str(written), "folder", written, sha256="")
    found = logits(family(located.family).load(merged).network, probe, dtype=torch.float32)
    difference = float((expected - found).abs().max())
    if difference <= MERGE_TOLERANCE:
        return difference
    expected = logits(open_located(located).network, probe, dtype=torch.float64)
    found = logits(family(located.family).load(merged).network, probe, dtype=torch.float64)
    difference = float((expected - found).abs().max())
    if not difference <= MERGE_TOLERANCE:
        raise EartuneError(
            f"the merged model answers differently from the adapted one: logits differ by {difference:.2g}, "
            f"and {MERGE_TOLERANCE:g} is allowed; nothing was written"
        )
    return difference
