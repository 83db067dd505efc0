"""evaluate: a model and a manifest -> hypotheses.jsonl and scores.json, beside the untuned base model's."""

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
from eartune.reporting import Reporter, Silent
from eartune.run_dir import describe_data
from eartune.scoring import PairedDifference, Scores, paired_bootstrap, score, worst
from eartune.speech_model import DecodeOptions, WindowKind
from eartune.training.device import best_device, choose_gpu, describe_precision, resolve_precision
from eartune.verbs.listen import Artefact, Listener, find_artefact, listen, refuse_for_artefacts
from eartune.verbs.open_model import Checkpoint, Located, locate, original_base
from eartune.verbs.quiet import quieten_libraries
from eartune.verbs.speech import tell_left_out

NUM_WORST = 20
SCORES = "scores.json"
# what scores.json says of each window
WINDOWS: dict[WindowKind, str] = {
    "padded": "padded to 30 s",
    "short": "short: the longest clip of each batch and a little silence",
}


@dataclass(frozen=True)
class Measured:
    """One model's hypotheses, their scores and what decoding took."""

    model: str
    hypotheses: tuple[str, ...]
    scores: Scores
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """The result: the model, its base where it was measured too, and how much they differ."""

    out: Path
    tuned: Measured
    base: Measured | None
    difference: PairedDifference | None
    utterances: tuple[Utterance, ...]
    window: WindowKind

    @property
    def audio_seconds(self) -> float:
        return sum(utterance.duration_s for utterance in self.utterances)


def evaluate(
    model: str,
    *,
    data: Sequence[Path],
    out: Path,
    against_base: bool = True,
    base: Measured | None = None,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    language: str | None = None,
    skip_bad: bool = False,
    batch_size: int = 16,
    options: DecodeOptions | None = None,
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "fp32",
    gpu: int | None = None,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Decode the speech of `data` with `model` (and its base model where it is a tuned one) and score it.

    An exported artefact is decoded in its own runtime, greedily, and alone.

    `base` is a measurement of the base model on the same speech, where there is one already; `against_base=False`
    leaves it out. Every clip is seen in a stock 30 s window unless `options` says otherwise. Writes
    `out`/hypotheses.jsonl and `out`/scores.json.
    Raises InputError before any decoding for wrong data, names and places.
    """
    report = reporter or Silent()
    chosen = options or DecodeOptions()
    quieten_libraries()
    require_writable(out)
    found = find_artefact(model, language=language) or locate(
        model, checkpoint=checkpoint, base_model=base_model, language=language
    )
    if isinstance(found, Artefact):
        refuse_for_artefacts(
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
    device = best_device()
    arithmetic = resolve_precision(precision, device)
    if describe_precision(arithmetic, device) != arithmetic:
        report.line(f"precision: {describe_precision(arithmetic, device)}")
    listening = partial(listen, batch_size=batch_size, options=chosen, precision=arithmetic)
    with listening(found) as listener:
        utterances = _within_limits(manifest.utterances, listener, skip_bad=skip_bad, report=report)
        tell_left_out("rows that cannot be used", manifest.skipped, report)
        tuned = _measure(listener, utterances, report)
    before = original_base(found) if isinstance(found, Located) and against_base and base is None else None
    if before is not None:
        with listening(before) as listener:
            base = _measure(listener, utterances, report)
    difference = paired_bootstrap(_words(base), _words(tuned)) if base is not None else None
    evaluation = Evaluation(out, tuned, base, difference, utterances, chosen.window)
    _write(evaluation, data, skipped=len(manifest.skipped) + len(manifest.utterances) - len(utterances))
    return evaluation


def _measure(listener: Listener, utterances: Sequence[Utterance], report: Reporter) -> Measured:
    began = time.monotonic()
    with report.task(f"decoding with {listener.name}", len(utterances)) as task:
        hypotheses = listener.decode(utterances, task)
    seconds = time.monotonic() - began
    references = [utterance.text for utterance in utterances]
    languages = [listener.language_of(utterance) for utterance in utterances]
    return Measured(listener.name, tuple(hypotheses), score(references, hypotheses, languages=languages), seconds)


def _words(measured: Measured) -> list[Any]:
    return [utterance.words for utterance in measured.scores.utterances]


def _within_limits(
    utterances: tuple[Utterance, ...], listener: Listener, *, skip_bad: bool, report: Reporter
) -> tuple[Utterance, ...]:
    findings = [
        f"{u.source}: duration {u.duration_s:.1f} s exceeds the model's {listener.max_duration_s:.0f} s; cut the clip"
        for u in utterances
        if u.duration_s > listener.max_duration_s
    ]
    kept = tuple(u for u in utterances if u.duration_s <= listener.max_duration_s)
    if not skip_bad or not kept:
        raise_findings(findings, advice="--skip-bad leaves them out.")
    tell_left_out("utterances that do not fit the model", findings, report)
    return kept


def _write(evaluation: Evaluation, data: Sequence[Path], *, skipped: int) -> None:
    rows = [_row(evaluation, index) for index in range(len(evaluation.utterances))]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write_text_atomic(evaluation.out / "hypotheses.jsonl", "\n".join(lines) + "\n")
    write_json_atomic(
        evaluation.out / SCORES,
        {
            "model": evaluation.tuned.model,
            "window": WINDOWS[evaluation.window],
            "data": describe_data(evaluation.utterances, data, skipped=skipped),
            "scores": _scores(evaluation.tuned),
            "base_model": evaluation.base.model if evaluation.base else None,
            "base_scores": _scores(evaluation.base) if evaluation.base else None,
            "difference": dataclasses.asdict(evaluation.difference) if evaluation.difference else None,
            "worst": [
                rows[utterance.index] for utterance in worst(evaluation.tuned.scores.utterances, count=NUM_WORST)
            ],
        },
    )


def _scores(measured: Measured) -> dict[str, Any]:
    return {**measured.scores.to_json(), "decoding_seconds": round(measured.seconds, 3)}


def _row(evaluation: Evaluation, index: int) -> dict[str, Any]:
    """Return one utterance in NeMo's keys: text is the reference, pred_text the hypothesis."""
    utterance, tuned = evaluation.utterances[index], evaluation.tuned
    scored = tuned.scores.utterances[index]
    row: dict[str, Any] = {
        "audio_filepath": _relative(utterance.audio, evaluation.out),
        "offset": utterance.offset_s,
        "duration": utterance.duration_s,
        "lang": scored.language,
        "text": utterance.text,
        "pred_text": tuned.hypotheses[index],
        "wer": scored.words.rate,
        **scored.words.to_json(),
    }
    if evaluation.base is not None:
        row["base_pred_text"] = evaluation.base.hypotheses[index]
        row["base_wer"] = evaluation.base.scores.utterances[index].words.rate
    return row


def _relative(audio: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(audio, folder.resolve())).as_posix()
    except ValueError:
        # another drive on Windows
        return audio.as_posix()
