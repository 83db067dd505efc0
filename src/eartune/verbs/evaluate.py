"""evaluate: a model and a manifest -> hypotheses.jsonl and scores.json, compared with the untuned base model."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from eartune.errors import raise_findings
from eartune.files import require_writable, write_json_atomic, write_text_atomic
from eartune.manifest import Utterance, read_manifest
from eartune.model import DecodeOptions, WindowKind
from eartune.origin import describe_data
from eartune.reporting import Reporter, Silent
from eartune.scoring import (
    PairedDifference,
    Scores,
    hypothesis_remarks,
    paired_bootstrap,
    reference_remarks,
    score,
    worst,
)
from eartune.scoring.scores import rate_or_none
from eartune.training.device import Precision, best_device, choose_gpu, describe_precision, resolve_precision
from eartune.verbs.dataset import check_recordings, left_out
from eartune.verbs.library_logging import silence_libraries
from eartune.verbs.open_model import Checkpoint, Located, locate, original_base
from eartune.verbs.transcriber import ExportedModel, Transcriber, find_export, open_transcriber, refuse_for_exports

NUM_WORST = 20
SCORES = "scores.json"
# the description of each window in scores.json
WINDOWS: dict[WindowKind, str] = {
    "padded": "padded to 30 s",
    "short": "short: the longest clip of each batch and a little silence",
}


@dataclass(frozen=True)
class ScoredModel:
    """One model's hypotheses, their scores and the decoding time."""

    model: str
    hypotheses: tuple[str, ...]
    scores: Scores
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Results of the model and, if evaluated, of its base, their difference, and remarks on data and hypotheses.

    `difference` is None without a base, and where no reference contains a word.
    """

    out: Path
    tuned: ScoredModel
    base: ScoredModel | None
    difference: PairedDifference | None
    utterances: tuple[Utterance, ...]
    window: WindowKind
    remarks: tuple[str, ...] = ()

    @property
    def audio_seconds(self) -> float:
        return sum(utterance.duration_s for utterance in self.utterances)


def evaluate(
    model: str,
    *,
    data: Sequence[Path],
    out: Path,
    against_base: bool = True,
    base: ScoredModel | None = None,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    language: str | None = None,
    language_token: str | None = None,
    skip_bad: bool = False,
    batch_size: int = 16,
    options: DecodeOptions | None = None,
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "fp32",
    gpu: int | None = None,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Decode the speech of `data` with `model` (and its base model where it is a tuned one) and score it.

    An export is decoded greedily in its own runtime, without its base model.

    `base` is an earlier result of the base model on the same speech; `against_base=False` skips the base model. Every
    clip is padded to the standard 30 s window unless `options` says otherwise. Writes
    `out`/hypotheses.jsonl and `out`/scores.json.
    Raises InputError before any decoding for invalid data, names and paths.
    """
    report = reporter or Silent()
    chosen = options or DecodeOptions()
    silence_libraries()
    require_writable(out)
    found = find_export(model, language=language, language_token=language_token) or locate(
        model, checkpoint=checkpoint, base_model=base_model, language=language, language_token=language_token
    )
    if isinstance(found, ExportedModel):
        refuse_for_exports(
            found,
            checkpoint=checkpoint is not None,
            base_model=base_model is not None,
            num_beams=chosen.num_beams != 1,
            window=chosen.window != "padded",
            precision=precision != "fp32",
            gpu=gpu is not None,
        )
    manifest = read_manifest(data, default_language=found.language, skip_bad=skip_bad)
    choose_gpu(gpu)
    opened = partial(
        open_transcriber, batch_size=batch_size, options=chosen, precision=_resolved_precision(precision, report)
    )
    with opened(found) as transcriber:
        utterances, unusable, audio_remarks = _usable(
            manifest.utterances, transcriber, skip_bad=skip_bad, report=report
        )
        data_remarks = (
            *left_out("rows that cannot be used", manifest.skipped),
            *left_out("utterances that cannot be used", unusable),
            *manifest.remarks,
            *audio_remarks,
        )
        for remark in data_remarks:
            report.line(remark)
        # the base model is scored in the same languages
        languages = [transcriber.text_language(utterance) for utterance in utterances]
        tuned = _measure(transcriber, utterances, languages, report)
    before = original_base(found) if isinstance(found, Located) and against_base and base is None else None
    if before is not None:
        with opened(before) as transcriber:
            base = _measure(transcriber, utterances, languages, report)
    remarks = (*data_remarks, *_remarks(tuned, base))
    evaluation = Evaluation(out, tuned, base, _difference(tuned, base), utterances, chosen.window, remarks)
    _write(evaluation, data, skipped=len(manifest.skipped) + len(unusable))
    return evaluation


def _resolved_precision(precision: Literal["auto", "bf16", "fp16", "fp32"], report: Reporter) -> Precision:
    device = best_device()
    resolved = resolve_precision(precision, device)
    if describe_precision(resolved, device) != resolved:
        report.line(f"precision: {describe_precision(resolved, device)}")
    return resolved


def _difference(tuned: ScoredModel, base: ScoredModel | None) -> PairedDifference | None:
    return paired_bootstrap(_words(base), _words(tuned)) if base is not None and tuned.scores.has_words else None


def _measure(
    transcriber: Transcriber, utterances: Sequence[Utterance], languages: Sequence[str | None], report: Reporter
) -> ScoredModel:
    began = time.monotonic()
    with report.task(f"decoding with {transcriber.name}", len(utterances)) as task:
        hypotheses = transcriber.decode(utterances, task)
    seconds = time.monotonic() - began
    references = [utterance.text for utterance in utterances]
    return ScoredModel(transcriber.name, tuple(hypotheses), score(references, hypotheses, languages=languages), seconds)


def _remarks(tuned: ScoredModel, base: ScoredModel | None) -> list[str]:
    if base is None:
        return [*reference_remarks(tuned.scores), *hypothesis_remarks(tuned.scores)]
    return [
        *reference_remarks(tuned.scores),
        *(
            f"{who}: {remark}"
            for who, m in (("base", base), ("tuned", tuned))
            for remark in hypothesis_remarks(m.scores)
        ),
    ]


def _words(measured: ScoredModel) -> list[Any]:
    return [utterance.words for utterance in measured.scores.utterances]


def _usable(
    utterances: tuple[Utterance, ...], transcriber: Transcriber, *, skip_bad: bool, report: Reporter
) -> tuple[tuple[Utterance, ...], list[str], tuple[str, ...]]:
    """Return the usable utterances, findings on the others, and remarks. Raises InputError unless `skip_bad` allows
    the findings."""
    longest_s = transcriber.max_duration_s
    reasons_before = [
        f"duration {u.duration_s:.1f} s exceeds the model's {longest_s:.0f} s; cut the clip"
        if u.duration_s > longest_s
        else reason
        for u, reason in zip(utterances, transcriber.findings(utterances), strict=True)
    ]
    checked = check_recordings(utterances, reasons_before, report)
    reasons = checked.findings
    findings = [f"{u.source}: {why}" for u, why in zip(utterances, reasons, strict=True) if why]
    kept = tuple(u for u, why in zip(utterances, reasons, strict=True) if not why)
    if not skip_bad or not kept:
        raise_findings(findings, advice="--skip-bad leaves them out.")
    return kept, findings, checked.remarks


def _write(evaluation: Evaluation, data: Sequence[Path], *, skipped: int) -> None:
    rows = [_row(evaluation, index) for index in range(len(evaluation.utterances))]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write_text_atomic(evaluation.out / "hypotheses.jsonl", "\n".join(lines) + "\n")
    write_json_atomic(
        evaluation.out / SCORES,
        {
            "model": evaluation.tuned.model,
            "window": WINDOWS[evaluation.window],
            "data": describe_data(evaluation.utterances, data, skipped=skipped).to_json(),
            "scores": _scores(evaluation.tuned),
            "base_model": evaluation.base.model if evaluation.base else None,
            "base_scores": _scores(evaluation.base) if evaluation.base else None,
            "remarks": list(evaluation.remarks),
            "difference": dataclasses.asdict(evaluation.difference) if evaluation.difference else None,
            "worst": [
                rows[utterance.index] for utterance in worst(evaluation.tuned.scores.utterances, count=NUM_WORST)
            ],
        },
    )


def _scores(measured: ScoredModel) -> dict[str, Any]:
    return {**measured.scores.to_json(), "decoding_seconds": round(measured.seconds, 3)}


def _row(evaluation: Evaluation, index: int) -> dict[str, Any]:
    """Return one utterance with NeMo's keys: text is the reference, pred_text the hypothesis."""
    utterance, tuned = evaluation.utterances[index], evaluation.tuned
    scored = tuned.scores.utterances[index]
    row: dict[str, Any] = {
        "audio_filepath": _relative(utterance.audio, evaluation.out),
        "offset": utterance.offset_s,
        "duration": utterance.duration_s,
        "lang": scored.language,
        "text": utterance.text,
        "pred_text": tuned.hypotheses[index],
        "wer": rate_or_none(scored.words),
        **scored.words.to_json(),
    }
    if evaluation.base is not None:
        row["base_pred_text"] = evaluation.base.hypotheses[index]
        base_words = evaluation.base.scores.utterances[index].words
        row["base_wer"] = rate_or_none(base_words)
    return row


def _relative(audio: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(audio, folder.resolve())).as_posix()
    except ValueError:
        # another drive on Windows
        return audio.as_posix()
