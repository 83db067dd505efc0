"""merge: an adapter and its base model -> a plain model folder, verified to give the same logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from eartune.base_model import BaseModel
from eartune.errors import EartuneError, InputError, first_line
from eartune.families.registry import family
from eartune.files import new_directory
from eartune.model import SpeechModel
from eartune.origin import ORIGIN_FORMAT, BaseModelRecord, Origin, installed_versions, write_origin
from eartune.reporting import Reporter, Silent
from eartune.training.adaptation.adapter_files import MERGE_TOLERANCE, logits
from eartune.training.adaptation.adapter_files import merge as merge_adapter
from eartune.verbs.open_model import Checkpoint, Located, adapted_network, locate, open_located
from eartune.weights import network_weights, require_finite

FAILED_ADVICE = "its training has failed: train again with a lower learning_rate"


@dataclass(frozen=True)
class Merged:
    """A merged model: its path, its source, and the largest difference of its logits from the adapted model's."""

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

    Raises InputError where there is no adapter or `out` exists (unless `replace`), and EartuneError where any logit of
    the merged model, in memory or read back from disk, differs by more than 1e-4; then nothing is written.
    """
    report = reporter or Silent()
    located = locate(run, checkpoint=checkpoint, base_model=base_model)
    if not located.is_adapter or located.folder is None:
        where = located.folder or run
        raise InputError(f"{run}: has no adapter to merge; {where} is already a complete model, use it as it is")
    difference = write_folder(located, out, replace=replace)
    report.line(f"merged {located.folder} into {located.base.spec}: logits agree within {difference:.1g}")
    return Merged(path=out, source=located.folder, largest_difference=difference)


@dataclass(frozen=True)
class ReferenceLogits:
    """The logits of a located model for a fixed batch, in float32, before it is merged and written."""

    located: Located
    probe: Mapping[str, torch.Tensor]
    logits: torch.Tensor

    def prove(self, written: BaseModel) -> float:
        """Read a written model back from disk and return its largest difference in logits. Raises EartuneError.

        Compared in float32. In deep models the rounding of float32 alone can exceed the limit, so a difference beyond
        it is measured again in float64, which leaves only that of the weights.
        """
        difference = _difference(self.logits, written, self.located, self.probe, torch.float32)
        if difference <= MERGE_TOLERANCE:
            return difference
        expected = logits(open_located(self.located).network, self.probe, dtype=torch.float64)
        difference = _difference(expected, written, self.located, self.probe, torch.float64)
        if not difference <= MERGE_TOLERANCE:
            raise EartuneError(
                f"the logits of the written model differ from those of {self.located.spec} by {difference:.2g}, and "
                f"{MERGE_TOLERANCE:g} is allowed; nothing was written"
            )
        return difference


def open_merged(located: Located) -> tuple[SpeechModel, ReferenceLogits]:
    """Load a located model, merge its adapter, and return it with its logits before the merge."""
    model = open_located(located)
    probe = model.probe_inputs()
    reference = ReferenceLogits(located, probe, logits(model.network, probe, dtype=torch.float32))
    if located.is_adapter:
        model.network = _merged(model, located)
        require_finite(network_weights(model.network), where=f"{located.folder}", advice=FAILED_ADVICE)
    return model, reference


def _merged(model: SpeechModel, located: Located) -> nn.Module:
    try:
        return merge_adapter(adapted_network(model))
    except ValueError as error:
        # raised by PEFT where merged weights are not finite
        raise InputError(f"{located.folder}: cannot be merged: {first_line(error)[:200]}; {FAILED_ADVICE}") from None


def write_folder(located: Located, out: Path, *, replace: bool) -> float:
    """Write a located model as a plain folder, adapters merged; return the largest difference in logits.

    Raises InputError, before anything is loaded, where `out` exists, and EartuneError as `ReferenceLogits.prove`.
    """
    with new_directory(out, replace=replace) as aside:
        model, reference = open_merged(located)
        model.save(aside)
        difference = reference.prove(BaseModel(str(aside), "folder", aside, sha256=""))
        write_model_origin(aside, located, difference)
    return difference


def write_model_origin(folder: Path, located: Located, difference: float) -> None:
    """Write a model folder's origin.json: its source, and the largest difference in logits from it."""
    origin = Origin(
        format=ORIGIN_FORMAT,
        kind="model",
        family=located.family,
        task=located.task,
        language=located.language,
        language_token=located.language_token,
        new_vocabulary=located.origin is not None and located.origin.new_vocabulary,
        base_model=BaseModelRecord.of(located.base),
        parent=str(located.folder or located.spec),
        merge_difference=difference,
        versions=installed_versions(),
        **located.tuning,
    )
    write_origin(folder, origin)


def _difference(
    expected: torch.Tensor, written: BaseModel, located: Located, probe: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> float:
    found = logits(family(located.family).load(written).network, probe, dtype=dtype)
    return float((expected - found).abs().max())
