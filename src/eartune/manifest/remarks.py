"""What is odd about rows that are used all the same: a sentence for each kind, with a count and the first place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from eartune.manifest.shown import shown
from eartune.manifest.utterance import Utterance

# [noise], <unk>, (laughs), {breath}: written about speech, not spoken; <|...|> is for the families to judge
_NOTE = re.compile(r"\[[^\]]{1,40}\]|<[^<>|]{1,40}>|\([^)]{1,40}\)|\{[^}]{1,40}\}")


def remarks_on(utterances: Sequence[Utterance]) -> list[str]:
    """Return a sentence for each odd thing about the rows of a manifest."""
    return [*_empty(utterances), *_notes(utterances)]


def counted(utterances: Sequence[Utterance], is_odd: Callable[[Utterance], object], what: str) -> list[str]:
    """Return "N rows WHAT, the first: FILE:LINE" where there are such rows; `what` follows a plural."""
    odd = [utterance for utterance in utterances if is_odd(utterance)]
    return [f"{len(odd)} of {len(utterances)} rows {what}; the first: {odd[0].source}"] if odd else []


def _empty(utterances: Sequence[Utterance]) -> list[str]:
    return counted(utterances, lambda u: not u.text, "have an empty text, which means that nobody speaks in them")


def _notes(utterances: Sequence[Utterance]) -> list[str]:
    found = next((match[0] for u in utterances if (match := _NOTE.search(u.text))), None)
    if found is None:
        return []
    what = (
        f"have notes in brackets in their texts, such as {shown(found)}: they are learnt as they stand, and not scored"
    )
    return counted(utterances, lambda u: _NOTE.search(u.text), what)
