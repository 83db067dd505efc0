"""Alignment of reference and hypothesis: numbers and places of substitutions, deletions, insertions and hits.

The alignment is jiwer's. An empty text has no words: all words of the other one are deletions or insertions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import jiwer


@dataclass(frozen=True)
class ErrorCounts:
    """Errors in words or in characters, of one utterance or of a corpus."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    hits: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_length(self) -> int:
        return self.substitutions + self.deletions + self.hits

    @property
    def rate(self) -> float:
        """Errors over reference length; for an empty reference the number of insertions, as in jiwer."""
        return self.errors / max(self.reference_length, 1)

    def to_json(self) -> dict[str, int]:
        return {"reference_length": self.reference_length, **asdict(self)}

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
            hits=self.hits + other.hits,
        )


class AlignedSpan(NamedTuple):
    """Reference words and the hypothesis words aligned with them."""

    operation: str
    """equal, substitute, delete or insert."""
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


def count_word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count the errors in words, separated by any Unicode whitespace."""
    return _counts(jiwer.process_words(_single_spaced(reference), _single_spaced(hypothesis)))


def count_char_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count the errors in characters; whitespace between words counts as one character."""
    return _counts(jiwer.process_characters(_single_spaced(reference), _single_spaced(hypothesis)))


def differences(reference: str, hypothesis: str) -> list[AlignedSpan]:
    """Align the words of two texts; together the spans have all words of both, in order."""
    alignment = jiwer.process_words(_single_spaced(reference), _single_spaced(hypothesis))
    reference_words, hypothesis_words = alignment.references[0], alignment.hypotheses[0]
    return [
        AlignedSpan(
            span.type,
            tuple(reference_words[span.ref_start_idx : span.ref_end_idx]),
            tuple(hypothesis_words[span.hyp_start_idx : span.hyp_end_idx]),
        )
        for span in alignment.alignments[0]
    ]


def total(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """Return the errors of a corpus, given those of its utterances."""
    return sum(counts, start=ErrorCounts())


def _counts(alignment: jiwer.WordOutput | jiwer.CharacterOutput) -> ErrorCounts:
    return ErrorCounts(
        substitutions=alignment.substitutions,
        deletions=alignment.deletions,
        insertions=alignment.insertions,
        hits=alignment.hits,
    )


def _single_spaced(text: str) -> str:
    return " ".join(text.split())
