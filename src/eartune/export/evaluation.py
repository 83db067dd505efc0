"""scores.json: error rates that evaluate has measured, for the model card."""

from __future__ import annotations

from pathlib import Path

from eartune.records import Interval, Record, read_record_file

_ADVICE = "delete the file, or evaluate again"


class ScoresRecord(Record):
    """Error rates of one model as fractions, with 95 % intervals; None where no reference has words."""

    unit: str = "word"
    """What a word is; the first versions knew one kind."""
    wer: float | None
    wer_interval_95: Interval | None
    cer: float | None
    cer_interval_95: Interval | None
    num_utterances: int


class EvaluationRecord(Record):
    """What scores.json holds: the scores of a model, and of its base model where that was measured too."""

    model: str
    """As it was named, with the checkpoint of a run: runs/pumps (best/)."""
    scores: ScoresRecord
    base_scores: ScoresRecord | None = None


def read_evaluation(path: Path) -> EvaluationRecord:
    """Read scores.json. Raises InputError in one line where it is damaged."""
    return read_record_file(path, EvaluationRecord, advice=_ADVICE)
