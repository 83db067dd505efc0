"""Remarks on odd rows that are used all the same: a sentence for each kind, with a count and the first place."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from eartune.errors import InputError, shown
from eartune.manifest.columns import is_written_for_missing
from eartune.manifest.utterance import Utterance
from eartune.text.marks import bracketed

_YES = frozenset({"yes", "true", "1", "timestamp"})


def remarks_on(utterances: Sequence[Utterance]) -> list[str]:
    """Return what is odd about the rows of a manifest, whatever is made of them."""
    return _written_for_missing(utterances)


def text_remarks(utterances: Sequence[Utterance]) -> list[str]:
    """Return what is odd about texts to learn, where no model is known yet: each family judges them by itself."""
    return [*_empty(utterances), *notes_in_brackets(utterances)]


def counted(utterances: Sequence[Utterance], is_odd: Callable[[Utterance], object], what: str) -> list[str]:
    """Return "N rows WHAT, the first: FILE:LINE" where there are such rows; `what` follows a plural."""
    odd = [utterance for utterance in utterances if is_odd(utterance)]
    return [f"{len(odd)} of {len(utterances)} rows {what}; the first: {odd[0].source}"] if odd else []


def _empty(utterances: Sequence[Utterance]) -> list[str]:
    return counted(utterances, lambda u: not u.text, "have an empty text, which means that nobody speaks in them")


def _written_for_missing(utterances: Sequence[Utterance]) -> list[str]:
    text = "have a text that stands for a missing one, such as nan or N/A"
    language = "are in the language nan, Min Nan Chinese; where that stands for a missing one, leave it empty"
    return [
        *counted(utterances, lambda u: is_written_for_missing(u.text), text),
        *counted(utterances, lambda u: u.language == "nan", language),
    ]


def notes_in_brackets(utterances: Sequence[Utterance], known: Container[str] = ()) -> list[str]:
    """Say of texts to learn that they hold notes, such as [noise]; those that a tokenizer has (`known`) are meant."""

    def notes(utterance: Utterance) -> list[str]:
        return [note for note in bracketed(utterance.text) if note not in known]

    found = next((noted[0] for utterance in utterances if (noted := notes(utterance))), None)
    if found is None:
        return []
    what = f"have notes in brackets in their texts, such as {shown(found)}: they are learnt as they are, and not scored"
    return counted(utterances, notes, what)


def times_asked_for(utterances: Sequence[Utterance]) -> list[str]:
    """Say of rows that ask for times in Canary's key that another model learns none of them."""
    what = "ask for times (timestamp), which only a Canary learns from such a row: they are trained without"
    return counted(utterances, lambda u: str(u.extra.get("timestamp")).strip("<|>").lower() in _YES, what)


def rows_remark(rows: Sequence[Utterance], one: str, several: str) -> list[str]:
    """Return the sentence about rows: `one` is said of a single one, `several` of more; none where there are none."""
    if not rows:
        return []
    first = rows[0].source or str(rows[0].audio)
    return [f"1 row {one}: {first}" if len(rows) == 1 else f"{len(rows)} rows {several}, the first: {first}"]


def no_speech_remarks(utterances: Sequence[Utterance]) -> list[str]:
    """Say how many rows are trained as no speech."""
    return rows_remark(
        [utterance for utterance in utterances if not utterance.text.strip()],
        "has an empty text and is trained as no speech",
        "have an empty text and are trained as no speech",
    )


def require_words(utterances: Sequence[Utterance]) -> None:
    """Raise InputError where no utterance has a text: a model trained on these would learn to be silent."""
    if utterances and not any(utterance.text.strip() for utterance in utterances):
        raise InputError(
            f"none of the {len(utterances)} rows to train on has a text, the first: {utterances[0].source}; "
            "check the column of transcripts"
        )
