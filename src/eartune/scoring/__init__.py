"""References and hypotheses to error rates, as pure functions.

counts      one utterance: substitutions, deletions, insertions, hits; the alignment word by word
bootstrap   confidence intervals, and the comparison of two models
scores      a corpus and its languages: WER, CER, sentence error rate, clips without speech, the worst utterances
remarks     remarks that error rates hide
"""

from eartune.scoring.bootstrap import PairedDifference, bootstrap_interval, paired_bootstrap
from eartune.scoring.counts import AlignedSpan, ErrorCounts, count_char_errors, count_word_errors, differences, total
from eartune.scoring.remarks import hypothesis_remarks, reference_remarks
from eartune.scoring.scores import (
    LanguageScores,
    NoSpeech,
    ScoredUnit,
    Scores,
    UtteranceScore,
    by_language,
    score,
    summarize,
    worst,
)

__all__ = [
    "AlignedSpan",
    "ErrorCounts",
    "LanguageScores",
    "NoSpeech",
    "PairedDifference",
    "ScoredUnit",
    "Scores",
    "UtteranceScore",
    "bootstrap_interval",
    "by_language",
    "count_char_errors",
    "count_word_errors",
    "differences",
    "hypothesis_remarks",
    "paired_bootstrap",
    "reference_remarks",
    "score",
    "summarize",
    "total",
    "worst",
]
