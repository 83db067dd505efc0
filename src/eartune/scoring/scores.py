"""A corpus scored: each utterance by itself, then all together.

All rates are fractions: 0.12 is 12 %. They are micro averages: all errors over all reference words of the corpus.
"Raw" compares the texts as they are, case and punctuation included; everything else compares normalised texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eartune.errors import InputError
from eartune.scoring.bootstrap import bootstrap_interval
from eartune.scoring.counts import ErrorCounts, count_char_errors, count_word_errors, total
from eartune.text import normalize
from eartune.text.units import characters


@dataclass(frozen=True)
class UtteranceScore:
    """One utterance: its texts as given and normalised, and its errors."""

    index: int
    language: str | None
    reference: str
    hypothesis: str
    normalized_reference: str
    normalized_hypothesis: str
    words: ErrorCounts
    chars: ErrorCounts
    raw_words: ErrorCounts
    raw_chars: ErrorCounts


@dataclass(frozen=True)
class Scores:
    """Error counts of a corpus, and 95 % bootstrap intervals (low, high) of its WER and CER."""

    words: ErrorCounts
    chars: ErrorCounts
    raw_words: ErrorCounts
    raw_chars: ErrorCounts
    wer_interval: tuple[float, float]
    cer_interval: tuple[float, float]
    utterances: tuple[UtteranceScore, ...] = field(repr=False)

    @property
    def sentence_error_rate(self) -> float:
        """The share of utterances with at least one wrong word."""
        return sum(utterance.words.errors > 0 for utterance in self.utterances) / len(self.utterances)

    def to_json(self) -> dict[str, Any]:
        """Return rates as fractions, intervals as [low, high] and counts, without the utterances."""
        return {
            "wer": self.words.rate,
            "wer_interval_95": list(self.wer_interval),
            "cer": self.chars.rate,
            "cer_interval_95": list(self.cer_interval),
            "raw_wer": self.raw_words.rate,
            "raw_cer": self.raw_chars.rate,
            "sentence_error_rate": self.sentence_error_rate,
            "num_utterances": len(self.utterances),
            "words": self.words.to_json(),
            "chars": self.chars.to_json(),
            "raw_words": self.raw_words.to_json(),
            "raw_chars": self.raw_chars.to_json(),
        }


def score(references: Sequence[str], hypotheses: Sequence[str], *, languages: Sequence[str | None]) -> Scores:
    """Score hypotheses, each against the reference and in the language at the same place.

    Raises InputError where the three differ in number, or are empty: no utterance has no error rate.
    """
    if not len(references) == len(hypotheses) == len(languages):
        raise InputError(
            f"{len(references)} references, {len(hypotheses)} hypotheses and {len(languages)} languages "
            "do not pair up; give one of each per utterance"
        )
    if not references:
        raise InputError("0 references and 0 hypotheses: there is nothing to score; give at least one utterance")
    return summarize(
        [
            _score_utterance(index, reference, hypothesis, language=language)
            for index, (reference, hypothesis, language) in enumerate(
                zip(references, hypotheses, languages, strict=True)
            )
        ]
    )


def summarize(utterances: Sequence[UtteranceScore]) -> Scores:
    """Return the scores of a corpus, or of a part of it such as one language, from those of its utterances."""
    assert utterances, "no utterances"
    words = [utterance.words for utterance in utterances]
    chars = [utterance.chars for utterance in utterances]
    return Scores(
        words=total(words),
        chars=total(chars),
        raw_words=total(utterance.raw_words for utterance in utterances),
        raw_chars=total(utterance.raw_chars for utterance in utterances),
        wer_interval=bootstrap_interval(words),
        cer_interval=bootstrap_interval(chars),
        utterances=tuple(utterances),
    )


def worst(utterances: Sequence[UtteranceScore], *, count: int) -> list[UtteranceScore]:
    """Return the `count` utterances with the most wrong words; among equals those with the higher rate come first."""
    return sorted(utterances, key=lambda utterance: (-utterance.words.errors, -utterance.words.rate))[:count]


def _score_utterance(index: int, reference: str, hypothesis: str, *, language: str | None) -> UtteranceScore:
    normalized_reference = normalize(reference, language=language)
    normalized_hypothesis = normalize(hypothesis, language=language)
    return UtteranceScore(
        index=index,
        language=language,
        reference=reference,
        hypothesis=hypothesis,
        normalized_reference=normalized_reference,
        normalized_hypothesis=normalized_hypothesis,
        words=count_word_errors(normalized_reference, normalized_hypothesis),
        chars=count_char_errors(characters(normalized_reference), characters(normalized_hypothesis)),
        raw_words=count_word_errors(reference, hypothesis),
        raw_chars=count_char_errors(reference, hypothesis),
    )
