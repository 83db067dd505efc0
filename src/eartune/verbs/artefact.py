"""One export: written aside, tried in its runtime, put in place with its record and model card."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from eartune.base_model import BaseModel
from eartune.errors import EartuneError
from eartune.export.card import CARD, card
from eartune.export.exporter import Target
from eartune.export.gate import Gate, HeardLong, Said, Sample, check, hear_long
from eartune.export.record import RECORD, describe, describe_files, program_of
from eartune.export.usage import usages
from eartune.files import scratch_directory, write_json_atomic, write_text_atomic
from eartune.model import SpeechModel
from eartune.reporting import Reporter, clock
from eartune.runtimes.runtime import CannotRun
from eartune.verbs.evaluate import SCORES
from eartune.verbs.listen import open_in_runtime
from eartune.verbs.merge import ReferenceLogits, write_model_origin
from eartune.verbs.open_model import Located, open_located
from eartune.verbs.places import Place, aside
from eartune.verbs.sample import hear_long_itself


@dataclass(frozen=True)
class Exported:
    """What was written, from which checkpoint of a run, and what its runtime made of it.

    `largest_difference` is that of its logits to the model's, where they were compared; `skipped` says why no runtime
    judged it.
    """

    path: Path
    format: str
    quantization: str
    checkpoint: str | None
    largest_difference: float | None
    gate: Gate | None
    skipped: str | None


@dataclass(frozen=True)
class Judge:
    """Speech to try artefacts on, what the model says of it, and the model it came from."""

    sample: Sample
    said: Said
    base: Located | None
    limit_points: float | None

    @cached_property
    def base_speech(self) -> SpeechModel | None:
        """The base model, loaded once, where it is to be put on the long recording."""
        return open_located(self.base) if self.base is not None else None

    @cached_property
    def base_itself(self) -> HeardLong | None:
        """The long recording as the base model itself hears it."""
        if self.base_speech is None:
            return None
        return HeardLong(hear_long_itself(self.base_speech, self.sample), num_fallbacks=None)


@dataclass(frozen=True)
class CardNotes:
    """What only the user can say for the model card: the licence (the hub's id), and where the speech is from."""

    license_id: str | None = None
    data_notes: str | None = None


@dataclass(frozen=True)
class Work:
    """What all exports of one command share."""

    located: Located
    model: SpeechModel
    language: str | None
    """The one that it hears where a clip names none: the one it was tuned for, or its only one."""
    language_code: str | None
    """What other programs are told for it."""
    reference: ReferenceLogits
    original: Path | None
    judge: Judge | None
    replace: bool
    card: CardNotes
    report: Reporter


def write_artefact(target: Target, place: Place, work: Work) -> Exported:
    """Write one artefact aside, try it in its runtime, and put it in place with its record and model card.

    Raises EartuneError where it is not what the model is; then only the record is left, under another name.
    """
    began = time.monotonic()
    with aside(place, replace=work.replace) as folder:
        artefact = folder / (place.path.name if place.is_file else target.file_name or "")
        elsewhere = target.exporter.write(work.model, artefact, target.quantization, work.original)
        read_back = _prove(target, artefact, work)
        gate, skipped = _judge(target, artefact, place, work)
        record = describe(
            format=target.format,
            quantization=target.quantization,
            family=work.located.family,
            task=work.located.task,
            language=work.language,
            language_token=work.located.language_token,
            made_from=_source(work.located),
            files=describe_files(artefact),
            largest_difference={"read_back": read_back, "as_written": elsewhere},
            runtime=program_of(target.format),
            skipped=skipped,
            sample=work.judge.sample.described if work.judge else None,
            parity=gate.to_json() if gate else None,
        )
        if gate is not None and gate.failures:
            failed = place.beside(f"failed-{RECORD}")
            write_json_atomic(failed, record)
            raise EartuneError(f"{'; '.join(gate.failures)}; nothing was written but {failed}")
        place.beside(f"failed-{RECORD}").unlink(missing_ok=True)
        if not place.is_file:
            write_json_atomic(folder / RECORD, record)
            write_text_atomic(folder / CARD, _card(target, artefact, record, work))
    if place.is_file and work.judge is not None:
        write_json_atomic(place.beside(RECORD), record)
    difference = read_back if read_back is not None else elsewhere
    path = place.path if place.is_file or target.file_name is None else place.path / target.file_name
    _tell(target, path, gate, skipped, difference, time.monotonic() - began, work.report)
    return Exported(path, target.format, target.quantization, work.located.checkpoint, difference, gate, skipped)


def _prove(target: Target, artefact: Path, work: Work) -> float | None:
    """Open what was written as eartune opens any model, and compare logits."""
    if not target.exporter.reads_back:
        return None
    is_folder = target.file_name is None
    kind: Literal["folder", "nemo"] = "folder" if is_folder else "nemo"
    difference = work.reference.prove(BaseModel(str(artefact), kind, artefact, sha256=""))
    if is_folder:
        write_model_origin(artefact, work.located, difference)
    return difference


def _judge(target: Target, artefact: Path, place: Place, work: Work) -> tuple[Gate | None, str | None]:
    """Try an artefact in its runtime; return what was found, or why it was not tried."""
    judge = work.judge
    if judge is None:
        return None, "it was not to be tried"
    opener = partial(
        open_in_runtime,
        family=work.located.family,
        task=work.located.task,
        language_token=work.located.language_token,
    )
    try:
        gate = check(
            artefact,
            opener,
            sample=judge.sample,
            said=judge.said,
            quantization=target.quantization,
            limit_points=judge.limit_points,
        )
    except CannotRun as reason:
        return None, str(reason).replace(str(artefact), artefact.name)
    except EartuneError as error:
        # the place it has while it is tried is nobody's
        raise type(error)(str(error).replace(str(artefact), artefact.name)) from None
    if gate.model_long is not None and not gate.model_long.passes:
        return replace(gate, base_long=judge.base_itself), None
    if gate.long is None or judge.base_speech is None:
        return gate, None
    # the same format, so that what differs is the tuning
    with scratch_directory(place.beside("base")) as folder:
        before = folder / (target.file_name or "")
        target.exporter.write(judge.base_speech, before, target.quantization, work.original)
        with opener(before) as runtime:
            return replace(gate, base_long=hear_long(runtime, judge.sample)), None


def _card(target: Target, artefact: Path, record: dict[str, Any], work: Work) -> str:
    return card(
        record,
        title=f"{Path(work.located.spec).name} ({target.name})",
        usages=usages(
            work.located.family,
            target.format,
            artefact=artefact,
            file=target.file_name or "FOLDER",
            language=work.language_code,
        ),
        evaluations=_evaluations(work.located),
        license_id=work.card.license_id,
        data_notes=work.card.data_notes,
    )


def _evaluations(located: Located) -> dict[str, dict[str, Any]]:
    """Return what `evaluate` measured of this checkpoint of a run, by the name of the speech."""
    found = {}
    for path in sorted((Path(located.spec) / "evaluation").glob(f"*/{SCORES}")):
        scores = json.loads(path.read_text(encoding="utf-8"))
        if scores["model"].endswith(f"({located.checkpoint}/)"):
            found[path.parent.name] = scores
    return found


def _source(located: Located) -> dict[str, Any]:
    return {
        "model": located.spec,
        "checkpoint": located.checkpoint,
        "base_model": located.origin.get("base_model") or located.base.to_json(),
        **located.tuning,
    }


def _tell(
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
        report.line(f"  not tried in its runtime: {skipped}")
        return
    report.line(f"  {gate.parity.verdict}")
    if gate.long is not None:
        report.line(f"  long recording: {gate.long.check.verdict}")
    for warning in gate.warnings:
        report.line(f"  note: {warning}")
