"""Remarks on suspect rows that are used nevertheless: a sentence per kind, with a count and the first row."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from eartune.errors import InputError, shown
from eartune.manifest.columns import is_written_for_missing
from eartune.manifest.utterance import Utterance
from eartune.text.marks import bracketed

_YES = frozenset({"yes", "true", "1", "timestamp"})


def remarks_on(utterances: Sequence[Utterance]) -> list[str]:
    """Return remarks on the rows of a manifest that apply to every use."""
    return _written_for_missing(utterances)


def text_remarks(utterances: Sequence[Utterance]) -> list[str]:
    """Return remarks on texts to train on if no model is known yet; each family has remarks of its own."""
    return [*_empty(utterances), *notes_in_brackets(utterances)]


def counted(utterances: Sequence[Utterance], is_suspect: Callable[[Utterance], object], what: str) -> list[str]:
    """Return "N of M rows WHAT; the first: FILE:LINE" if there are such rows; `what` follows a plural."""
    suspects = [utterance for utterance in utterances if is_suspect(utterance)]
    return [f"{len(suspects)} of {len(utterances)} rows {what}; the first: {suspects[0].source}"] if suspects else []


def _empty(utterances: Sequence[Utterance]) -> list[str]:
    return counted(utterances, lambda u: not u.text, "have an empty text, which means that nobody speaks in them")


def _written_for_missing(utterances: Sequence[Utterance]) -> list[str]:
    text = "have a text that stands for a missing one, such as nan or N/A"
    language = "are in the language nan, Min Nan Chinese; if it stands for a missing value, leave it empty"
    return [
        *counted(utterances, lambda u: is_written_for_missing(u.text), text),
        *counted(utterances, lambda u: u.language == "nan", language),
    ]


def notes_in_brackets(utterances: Sequence[Utterance], known: Container[str] = ()) -> list[str]:
    """Return a remark on texts with notes in brackets, such as [noise], that are not tokens of the model (`known`)."""

    def notes(utterance: Utterance) -> list[str]:
        return [note for note in bracketed(utterance.text) if note not in known]

    found = next((noted[0] for utterance in utterances if (noted := notes(utterance))), None)
    if found is None:
        return []
    what = f"have notes in brackets in their texts, such as {shown(found)}: they are trained on, and not scored"
    return counted(utterances, notes, what)


def times_asked_for(utterances: Sequence[Utterance]) -> list[str]:
    """Return a remark on rows with NeMo's timestamp key, for models that ignore it."""
    what = "request times with the key timestamp, which this model does not have: they are trained without"
    return counted(utterances, lambda u: str(u.extra.get("timestamp")).strip("<|>").lower() in _YES, what)


def rows_remark(rows: Sequence[Utterance], one: str, several: str) -> list[str]:
    """Return a remark on rows, with `one` for a single row and `several` for more; empty if there are no rows."""
    if not rows:
        return []
    first = rows[0].source or str(rows[0].audio)
    return [f"1 row {one}: {first}" if len(rows) == 1 else f"{len(rows)} rows {several}, the first: {first}"]


def no_speech_remarks(utterances: Sequence[Utterance]) -> list[str]:
    """Return a remark on rows that are trained as no speech."""
    return rows_remark(
        [utterance for utterance in utterances if not utterance.text.strip()],
        "has an empty text and is trained as no speech",
        "have an empty text and are trained as no speech",
    )


def require_words(utterances: Sequence[Utterance]) -> None:
    """Raise InputError if no utterance has a text: a model trained on them would decode everything to silence."""
    if utterances and not any(utterance.text.strip() for utterance in utterances):
        raise InputError(
            f"none of the {len(utterances)} rows to train on has a text, the first: {utterances[0].source}; "
            "check the column of transcripts"
        )
