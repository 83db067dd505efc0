"""References and hypotheses to error rates, as pure functions.

counts      one utterance: substitutions, deletions, insertions, hits; the alignment word by word
bootstrap   confidence intervals, and the comparison of two models
scores      a corpus: WER, CER, sentence error rate, the worst utterances
"""

from eartune.scoring.bootstrap import PairedDifference, bootstrap_interval, paired_bootstrap
from eartune.scoring.counts import AlignedSpan, ErrorCounts, count_char_errors, count_word_errors, differences, total
from eartune.scoring.scores import Scores, UtteranceScore, score, summarize, worst

__all__ = [
    "AlignedSpan",
    "ErrorCounts",
    "PairedDifference",
    "Scores",
    "UtteranceScore",
    "bootstrap_interval",
    "count_char_errors",
    "count_word_errors",
    "differences",
    "paired_bootstrap",
    "score",
    "summarize",
    "total",
    "worst",
]
