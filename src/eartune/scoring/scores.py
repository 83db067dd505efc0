"""Scores of a corpus: of each utterance, of all together, and of each language.

All rates are fractions: 0.12 is 12 %. They are micro averages: all errors over all reference words of the corpus.
A word is one character in text of a script without spaces (text/units.py). If a corpus has both kinds of words, its
total rate is a mixed error rate (MER), as in code-switched corpora; the rate of each language is given too.
"Raw" compares the texts as they are, case and punctuation included; everything else compares normalised texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from eartune.errors import InputError
from eartune.scoring.bootstrap import bootstrap_interval
from eartune.scoring.counts import ErrorCounts, count_char_errors, count_word_errors, total
from eartune.text import normalize
from eartune.text.units import characters, is_spaceless, part_units

ScoredUnit = Literal["word", "character", "word and character"]
"""The unit of the words of a text."""


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
class NoSpeech:
    """Utterances without words in the reference, and how many of them have words in the hypothesis."""

    num_utterances: int
    num_with_words: int
    num_words: int


@dataclass(frozen=True)
class LanguageScores:
    """Errors in one language of a corpus."""

    unit: ScoredUnit
    words: ErrorCounts
    chars: ErrorCounts
    num_utterances: int

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "wer": self.words.rate,
            "cer": self.chars.rate,
            "num_utterances": self.num_utterances,
            "words": self.words.to_json(),
            "chars": self.chars.to_json(),
        }


@dataclass(frozen=True)
class Scores:
    """Error counts of a corpus, and 95 % bootstrap intervals (low, high) of its WER and CER.

    Words in the hypothesis of an empty reference are insertions. A corpus without any reference words has no rates.
    """

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

    @property
    def has_words(self) -> bool:
        return self.words.reference_length > 0

    @property
    def unit(self) -> ScoredUnit:
        """The unit of the words of the references."""
        return _unit(self.utterances)

    @property
    def no_speech(self) -> NoSpeech:
        silent = [utterance for utterance in self.utterances if not utterance.words.reference_length]
        return NoSpeech(
            num_utterances=len(silent),
            num_with_words=sum(utterance.words.insertions > 0 for utterance in silent),
            num_words=sum(utterance.words.insertions for utterance in silent),
        )

    def to_json(self) -> dict[str, Any]:
        """Return rates as fractions (None without reference words), intervals as [low, high] and counts."""
        return {
            "unit": self.unit,
            "wer": rate_or_none(self.words),
            "wer_interval_95": list(self.wer_interval) if self.has_words else None,
            "cer": rate_or_none(self.chars),
            "cer_interval_95": list(self.cer_interval) if self.has_words else None,
            "raw_wer": rate_or_none(self.raw_words) if self.has_words else None,
            "raw_cer": rate_or_none(self.raw_chars) if self.has_words else None,
            "sentence_error_rate": self.sentence_error_rate,
            "num_utterances": len(self.utterances),
            "no_speech": asdict(self.no_speech),
            "by_language": {language: part.to_json() for language, part in by_language(self).items()},
            "words": self.words.to_json(),
            "chars": self.chars.to_json(),
            "raw_words": self.raw_words.to_json(),
            "raw_chars": self.raw_chars.to_json(),
        }


def score(references: Sequence[str], hypotheses: Sequence[str], *, languages: Sequence[str | None]) -> Scores:
    """Score hypotheses, each against the reference and in the language at the same index.

    Raises InputError if the three differ in length, or are empty.
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


def by_language(scores: Scores) -> dict[str, LanguageScores]:
    """Return the errors of each language that has reference words, by its code, sorted.

    Utterances without a language are "unknown", or "unknown, without spaces" in scripts without spaces.
    """
    parts: dict[str, list[UtteranceScore]] = {}
    for utterance in scores.utterances:
        words = utterance.normalized_reference.split()
        if words:
            spaceless = 2 * sum(map(is_spaceless, words)) > len(words)
            unknown = "unknown, without spaces" if spaceless else "unknown"
            parts.setdefault(utterance.language or unknown, []).append(utterance)
    return {
        language: LanguageScores(
            unit=_unit(parts[language]),
            words=total(utterance.words for utterance in parts[language]),
            chars=total(utterance.chars for utterance in parts[language]),
            num_utterances=len(parts[language]),
        )
        for language in sorted(parts)
    }


def rate_or_none(counts: ErrorCounts) -> float | None:
    """Return the rate, or None without reference words."""
    return counts.rate if counts.reference_length else None


def worst(utterances: Sequence[UtteranceScore], *, count: int) -> list[UtteranceScore]:
    """Return the `count` utterances with the most wrong words; among equals those with the higher rate come first."""
    return sorted(utterances, key=lambda utterance: (-utterance.words.errors, -utterance.words.rate))[:count]


def _unit(utterances: Sequence[UtteranceScore]) -> ScoredUnit:
    """Return the unit of the references; numbers in digits, which all scripts share, are ignored."""
    words = {word for each in utterances for word in each.normalized_reference.split() if not word.isdigit()}
    kinds = {is_spaceless(word) for word in words}
    return "word and character" if len(kinds) == 2 else "character" if True in kinds else "word"


def _score_utterance(index: int, reference: str, hypothesis: str, *, language: str | None) -> UtteranceScore:
    normalized_reference = _normalized(reference, language=language)
    normalized_hypothesis = _normalized(hypothesis, language=language)
    return UtteranceScore(
        index=index,
        language=language,
        reference=reference,
        hypothesis=hypothesis,
        normalized_reference=normalized_reference,
        normalized_hypothesis=normalized_hypothesis,
        words=count_word_errors(normalized_reference, normalized_hypothesis),
        chars=count_char_errors(characters(normalized_reference), characters(normalized_hypothesis)),
        raw_words=count_word_errors(part_units(reference), part_units(hypothesis)),
        raw_chars=count_char_errors(reference, hypothesis),
    )


def _normalized(text: str, *, language: str | None) -> str:
    """Return the text normalised; empty if it has no letter and no digit (Whisper's English leaves a dot)."""
    normalized = normalize(text, language=language)
    return normalized if any(map(str.isalnum, normalized)) else ""
