"""One export: staged, verified in its runtime, then moved into place with its record and model card."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from eartune import __version__
from eartune.base_model import BaseModel
from eartune.errors import EartuneError
from eartune.export.card import CARD, card
from eartune.export.evaluation import EvaluationRecord, read_evaluation
from eartune.export.exporter import Target
from eartune.export.gate import Gate, LongFormResult, ReferenceOutputs, Sample, check, transcribe_long_form
from eartune.export.parity_record import ParityRecord
from eartune.export.record import (
    FORMAT,
    RECORD,
    DifferencesRecord,
    ExportRecord,
    MadeFromRecord,
    describe_files,
    program_of,
    write_record,
)
from eartune.export.usage import usages
from eartune.files import scratch_directory, write_text_atomic
from eartune.model import SpeechModel
from eartune.origin import BaseModelRecord
from eartune.reporting import Reporter, clock
from eartune.runtimes.runtime import CannotRun
from eartune.verbs.evaluate import SCORES
from eartune.verbs.export_paths import Destination, staging
from eartune.verbs.merge import ReferenceLogits, write_model_origin
from eartune.verbs.open_model import Located, open_located
from eartune.verbs.sample import transcribe_long_with_model
from eartune.verbs.transcriber import open_in_runtime


@dataclass(frozen=True)
class Exported:
    """An export, the checkpoint of the run it came from, and the result of its check in a runtime.

    `largest_difference` is that between its logits and the model's, where they were compared; `skipped` is the reason
    why it is unverified.
    """

    path: Path
    format: str
    quantization: str
    checkpoint: str | None
    largest_difference: float | None
    gate: Gate | None
    skipped: str | None


@dataclass(frozen=True)
class ParityCheck:
    """The speech that exports are verified on, the model's outputs for it, and the base model."""

    sample: Sample
    reference_outputs: ReferenceOutputs
    base: Located | None
    limit_points: float | None

    @cached_property
    def base_model(self) -> SpeechModel | None:
        """The base model, loaded once, if it is to decode the long recording too."""
        return open_located(self.base) if self.base is not None else None

    @cached_property
    def base_long(self) -> LongFormResult | None:
        """The base model's own result on the long recording."""
        if self.base_model is None:
            return None
        return LongFormResult(transcribe_long_with_model(self.base_model, self.sample), num_fallbacks=None)


@dataclass(frozen=True)
class CardNotes:
    """Facts for the model card that only the user knows: the licence (the Hub's id) and the source of the speech."""

    license_id: str | None = None
    data_notes: str | None = None


@dataclass(frozen=True)
class ExportJob:
    """Inputs and options shared by all exports of one command."""

    located: Located
    model: SpeechModel
    language: str | None
    """The language of clips that name none: the one the model was tuned for, or its only one."""
    language_code: str | None
    """Its code in other programs."""
    reference: ReferenceLogits
    original: Path | None
    parity_check: ParityCheck | None
    replace: bool
    card: CardNotes
    evaluations: Mapping[str, EvaluationRecord]
    """Evaluations of the checkpoint, by the name of the data set."""
    report: Reporter


def write_export(target: Target, destination: Destination, job: ExportJob) -> Exported:
    """Stage one export, verify it in its runtime, and move it into place with its record and model card.

    Raises EartuneError where it differs from the model; then only the record is kept, as failed-parity.json.
    """
    began = time.monotonic()
    with staging(destination, replace=job.replace) as folder:
        exported = folder / (destination.path.name if destination.is_file else target.file_name or "")
        written_difference = target.exporter.write(job.model, exported, target.quantization, job.original)
        read_back = _read_back(target, exported, job)
        gate, skipped = _try_in_runtime(target, exported, destination, job)
        differences = DifferencesRecord(read_back=read_back, as_written=written_difference)
        record = _record(target, exported, job, differences=differences, gate=gate, skipped=skipped)
        if gate is not None and gate.failures:
            failed = destination.beside(f"failed-{RECORD}")
            write_record(failed, record)
            raise EartuneError(f"{'; '.join(gate.failures)}; nothing was written but {failed}")
        destination.beside(f"failed-{RECORD}").unlink(missing_ok=True)
        if not destination.is_file:
            write_record(folder / RECORD, record)
            write_text_atomic(folder / CARD, _card(target, exported, record, job))
    if destination.is_file and job.parity_check is not None:
        write_record(destination.beside(RECORD), record)
    difference = read_back if read_back is not None else written_difference
    path = destination.path if destination.is_file or target.file_name is None else destination.path / target.file_name
    _report(target, path, gate, skipped, difference, time.monotonic() - began, job.report)
    return Exported(path, target.format, target.quantization, job.located.checkpoint, difference, gate, skipped)


def _record(
    target: Target,
    exported: Path,
    job: ExportJob,
    *,
    differences: DifferencesRecord,
    gate: Gate | None,
    skipped: str | None,
) -> ExportRecord:
    located = job.located
    return ExportRecord(
        record_format=FORMAT,
        eartune=__version__,
        format=target.format,
        quantization=target.quantization,
        family=located.family,
        task=located.task,
        language=job.language,
        language_token=located.language_token,
        made_from=MadeFromRecord(
            model=located.spec,
            checkpoint=located.checkpoint,
            base_model=located.recorded_base or BaseModelRecord.of(located.base),
            **located.tuning,
        ),
        files=describe_files(exported),
        largest_difference=differences,
        runtime=program_of(target.format),
        skipped=skipped,
        sample=job.parity_check.sample.described if job.parity_check else None,
        parity=ParityRecord.model_validate(gate.to_json()) if gate else None,
    )


def _read_back(target: Target, exported: Path, job: ExportJob) -> float | None:
    """Load the export as eartune loads any model, and compare logits."""
    if not target.exporter.declared.reads_back:
        return None
    is_folder = target.file_name is None
    kind: Literal["folder", "nemo"] = "folder" if is_folder else "nemo"
    difference = job.reference.prove(BaseModel(str(exported), kind, exported, sha256=""))
    if is_folder:
        write_model_origin(exported, job.located, difference)
    return difference


def _try_in_runtime(
    target: Target, exported: Path, destination: Destination, job: ExportJob
) -> tuple[Gate | None, str | None]:
    """Verify an export in its runtime; return the result, or the reason why it is unverified."""
    parity_check = job.parity_check
    if parity_check is None:
        return None, "verification was turned off"
    opener = partial(
        open_in_runtime,
        family=job.located.family,
        task=job.located.task,
        language_token=job.located.language_token,
    )
    try:
        gate = check(
            exported,
            opener,
            sample=parity_check.sample,
            reference_outputs=parity_check.reference_outputs,
            quantization=target.quantization,
            limit_points=parity_check.limit_points,
        )
    except CannotRun as reason:
        return None, str(reason).replace(str(exported), exported.name)
    except EartuneError as error:
        # the staging path means nothing to the user
        raise type(error)(str(error).replace(str(exported), exported.name)) from None
    if gate.model_long is not None and not gate.model_long.passes:
        return replace(gate, base_long=parity_check.base_long), None
    if gate.long is None or parity_check.base_model is None:
        return gate, None
    # the same format, so that only the tuning differs
    with scratch_directory(destination.beside("base")) as folder:
        before = folder / (target.file_name or "")
        target.exporter.write(parity_check.base_model, before, target.quantization, job.original)
        with opener(before) as runtime:
            return replace(gate, base_long=transcribe_long_form(runtime, parity_check.sample)), None


def _card(target: Target, exported: Path, record: ExportRecord, job: ExportJob) -> str:
    return card(
        record,
        title=f"{Path(job.located.spec).name} ({target.name})",
        usages=usages(
            job.located.family,
            target.format,
            exported=exported,
            file=target.file_name or "FOLDER",
            language=job.language_code,
        ),
        evaluations=job.evaluations,
        license_id=job.card.license_id,
        data_notes=job.card.data_notes,
    )


def read_evaluations(located: Located) -> dict[str, EvaluationRecord]:
    """Return the results of `evaluate` for this checkpoint of a run, by the name of the data set.

    Raises InputError where a scores.json is damaged.
    """
    paths = sorted((Path(located.spec) / "evaluation").glob(f"*/{SCORES}")) if located.checkpoint else []
    found = {path.parent.name: read_evaluation(path) for path in paths}
    return {name: each for name, each in found.items() if each.model.endswith(f"({located.checkpoint}/)")}


def _report(
    target: Target,
    path: Path,
    gate: Gate | None,
    skipped: str | None,
    difference: float | None,
    seconds: float,
    report: Reporter,
) -> None:
    report.line(f"{target.name}: wrote {path} in {clock(seconds)}")
    if difference is not None:
        report.line(f"  its logits agree within {difference:.1g}")
    if gate is None:
        report.line(f"  unverified: {skipped}")
        return
    report.line(f"  {gate.parity.verdict}")
    if gate.long is not None:
        report.line(f"  long recording: {gate.long.check.verdict}")
    for warning in gate.warnings:
        report.line(f"  note: {warning}")
