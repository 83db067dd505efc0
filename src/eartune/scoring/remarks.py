"""Remarks on references and hypotheses that error rates hide: dropped marks, clips without words, mixed units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import regex

from eartune.scoring.scores import Scores, by_language
from eartune.text.marks import bracketed, special_symbols

NUM_SHOWN = 3
LONGEST_SHOWN = 30
# scripts of the languages whose normalisers have rules of their own
ENGLISH_OR_RUSSIAN = regex.compile(r"[\p{Latin}\p{Cyrillic}]")


def reference_remarks(scores: Scores) -> list[str]:
    """Return a sentence for each oddity of the references, which the reader of the rates should know."""
    references = [utterance.reference for utterance in scores.utterances]
    return [
        *_mixed_units(scores),
        *_unknown_languages(scores),
        *_dropped("references", references, special_symbols, "special symbols", "not scored"),
        *_dropped("references", references, bracketed, "text in brackets", "not scored"),
        *_marks_alone(scores),
    ]


def hypothesis_remarks(scores: Scores) -> list[str]:
    """Return a sentence for each oddity of the hypotheses, and whether normalised rates count it."""
    hypotheses = [utterance.hypothesis for utterance in scores.utterances]
    not_counted = "dropped by the normaliser, so WER and CER do not count this"
    return [
        *_dropped("hypotheses", hypotheses, special_symbols, "special symbols", not_counted),
        *_dropped("hypotheses", hypotheses, bracketed, "text in brackets", not_counted),
        *_empty(scores),
        *_no_speech(scores),
    ]


def _dropped(
    what: str, texts: Sequence[str], find: Callable[[str], list[str]], kind: str, consequence: str
) -> list[str]:
    found = [marks for text in texts if (marks := find(text))]
    shown = _examples(mark for marks in found for mark in marks)
    return [f"{len(found)} of {len(texts)} {what} hold {kind} ({shown}), {consequence}"] if found else []


def _marks_alone(scores: Scores) -> list[str]:
    texts = [u.reference for u in scores.utterances if u.reference.strip() and not u.normalized_reference]
    if not texts:
        return []
    return [
        f"{len(texts)} of {len(scores.utterances)} references hold no word ({_examples(texts)}), scored as no speech"
    ]


def _empty(scores: Scores) -> list[str]:
    with_words = [utterance for utterance in scores.utterances if utterance.normalized_reference]
    num_empty = sum(not utterance.hypothesis.strip() for utterance in with_words)
    return [f"{num_empty} of {len(with_words)} clips with speech have an empty hypothesis"] if num_empty else []


def _no_speech(scores: Scores) -> list[str]:
    found = scores.no_speech
    if not found.num_utterances:
        return []
    text = f"{found.num_with_words} of {found.num_utterances} clips without speech have words in the hypothesis"
    if not scores.has_words:
        return [f"the references hold no words, so there is no error rate; {text}"]
    return [f"{text} ({found.num_words} words, counted as insertions)"]


def _mixed_units(scores: Scores) -> list[str]:
    parts = by_language(scores)
    if scores.unit != "word and character" or len(parts) == 1:
        return []
    rates = ", ".join(f"{name} {100 * part.words.rate:.1f} % per {part.unit}" for name, part in parts.items())
    return [
        "the total error rate counts words and, in scripts without spaces, characters (a mixed error rate, MER); "
        f"by language: {rates}"
    ]


def _unknown_languages(scores: Scores) -> list[str]:
    unknown = [u for u in scores.utterances if u.language is None and ENGLISH_OR_RUSSIAN.search(u.normalized_reference)]
    if not unknown:
        return []
    return [
        f"{len(unknown)} of {len(scores.utterances)} utterances have no language, so the rules of English and Russian "
        "(numbers, contractions, spelling) were not used in scoring; set it with --language or in the rows (lang)"
    ]


def _examples(marks: Iterable[str]) -> str:
    counted = Counter(mark if len(mark) <= LONGEST_SHOWN else f"{mark[:LONGEST_SHOWN]}..." for mark in marks)
    shown = [mark for mark, _ in counted.most_common(NUM_SHOWN)]
    return ", ".join([*shown, "..."] if len(counted) > NUM_SHOWN else shown)
