"""export: a run or a model -> a runtime's files, accepted when its transcripts agree with the model's.

DIR/                    of a single export; of several, DIR/FORMAT-QUANTIZATION/ each
    the export        one file (ggml, OpenAI, .nemo), or the files of the folder
    parity.json         transcripts of the runtime compared with those of the model
    README.md           the model card
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.errors import EartuneError, InputError
from eartune.export.apps import hand_over
from eartune.export.exporter import Target, as_app_file, plan
from eartune.export.hub import push, require_account
from eartune.families.registry import exports_of
from eartune.files import write_text_atomic
from eartune.manifest import Utterance
from eartune.reporting import Reporter, Silent
from eartune.verbs.export_one import CardNotes, Exported, ExportJob, ParityCheck, read_evaluations, write_export
from eartune.verbs.export_paths import Destination, choose_destination, refuse_existing
from eartune.verbs.library_logging import silence_libraries
from eartune.verbs.merge import open_merged
from eartune.verbs.open_model import Checkpoint, Located, locate, original_base
from eartune.verbs.sample import choose_sample, compute_reference_outputs

NUM_UTTERANCES = 40


def export(
    model: str,
    *,
    to: Sequence[str] = (),
    for_app: str | None = None,
    quantize: Sequence[str] = (),
    out: Path | None = None,
    data: Sequence[Path] = (),
    num_utterances: int = NUM_UTTERANCES,
    limit_points: float | None = None,
    against_base: bool = True,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    original: Path | None = None,
    replace: bool = False,
    judged: bool = True,
    card_notes: CardNotes | None = None,
    push_to: str | None = None,
    public: bool = False,
    reporter: Reporter | None = None,
) -> list[Exported]:
    """Write a run (its best checkpoint), an adapter or a model in each of the formats `to`, with adapters merged.

    Each export then decodes `num_utterances` of `data` (by default of the run's validation speech) and a long
    recording in its own runtime, and is kept only if its transcripts agree with the model's; `limit_points` is the
    largest change of the WER allowed, by default that usual for its quantisation. `judged=False` skips this check.
    `original` is the .nemo file whose configuration and tokenizer a .nemo export takes over; by default the base
    model's. Raises InputError where something is missing or a path exists (unless `replace`), and EartuneError, after
    all other formats, where an export differs from the model; only the record of the check is kept of it.
    """
    report = reporter or Silent()
    silence_libraries()
    located = locate(model, checkpoint=checkpoint, base_model=base_model)
    exports = exports_of(located.family)
    handed = hand_over(for_app, located.family, located.language) if for_app else None
    targets = plan([handed.format] if handed else to, quantize, family=located.family, exporters=exports.formats)
    if handed and for_app:
        targets = [as_app_file(target, for_app, handed.file_name) for target in targets]
    destinations = [choose_destination(target, model, out, alone=len(targets) == 1) for target in targets]
    if push_to is not None:
        _require_pushable(destinations, push_to)
    archive = (
        (original or _original_archive(located)) if any(t.exporter.declared.needs_original for t in targets) else None
    )
    for destination in destinations:
        refuse_existing(destination, archive, replace=replace)
    if located.checkpoint:
        report.line(f"exporting {located.checkpoint}/ of {located.spec}")
    evaluations = read_evaluations(located)
    merged, reference = open_merged(located)
    parity_check = None
    if judged:
        sample, utterances = choose_sample(located, merged, data, count=num_utterances, report=report)
        reference_outputs = compute_reference_outputs(merged, sample, utterances, exports, report)
        base = original_base(located) if against_base else None
        parity_check = ParityCheck(sample, reference_outputs, base, limit_points)
    unnamed = Utterance(audio=Path(), text="", duration_s=0.0, language=None)
    language = located.language or merged.languages(unnamed).decoding
    code = exports.language_code(merged, language) if exports.language_code else language
    job = ExportJob(
        located=located,
        model=merged,
        language=language,
        language_code=code,
        reference=reference,
        original=archive,
        parity_check=parity_check,
        replace=replace,
        card=card_notes or CardNotes(),
        evaluations=evaluations,
        report=report,
    )
    written = _write_all(targets, destinations, job)
    if handed:
        notes = destinations[0].path / handed.notes_name
        write_text_atomic(notes, handed.notes)
        report.line(f"instructions for {handed.app}: {notes}\n\n{handed.notes}")
    if push_to is not None:
        report.line(f"pushed: {push(destinations[0].path, push_to, public=public)}")
    return written


def _write_all(targets: Sequence[Target], destinations: Sequence[Destination], job: ExportJob) -> list[Exported]:
    """Write each export. Raises EartuneError for those that fail, once the others are written."""
    written, failures = [], []
    for target, destination in zip(targets, destinations, strict=True):
        try:
            written.append(write_export(target, destination, job))
        except EartuneError as error:
            if len(targets) == 1:
                raise
            failures.append(f"{target.name}: {error}")
    if failures:
        raise EartuneError("\n".join(failures))
    return written


def _original_archive(located: Located) -> Path:
    """Return the .nemo file that the model was tuned from."""
    base = located.base
    recorded = located.recorded_base
    known = [(base.kind, base.path)]
    if recorded is not None and recorded.path is not None:
        known.append((recorded.kind, Path(recorded.path)))
    for kind, path in known:
        if kind == "nemo" and path.exists():
            return path
    raise InputError(
        f"{located.spec}: did not begin as a .nemo file here; name the one to take configuration and tokenizer from: "
        "--original MODEL.nemo"
    )


def _require_pushable(destinations: Sequence[Destination], repo: str) -> None:
    if len(destinations) > 1:
        raise InputError("--push: takes one export at a time, as each gets its own repository; give one format")
    if destinations[0].is_file:
        raise InputError(f"--push: needs a folder with a model card; give a folder instead of {destinations[0].path}")
    require_account(repo)
