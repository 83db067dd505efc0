"""Validation: the loss over the validation speech, and the error rates of decoding it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch

from eartune.config.sections import ValidationSection
from eartune.errors import EartuneError
from eartune.manifest import Utterance
from eartune.model import DecodeOptions
from eartune.reporting import Reporter
from eartune.scoring import Scores, hypothesis_remarks, reference_remarks, score
from eartune.stopping import StopToken
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.plan import in_order
from eartune.training.decoding import Stopped, decode_utterances
from eartune.training.divergence import ADVICE
from eartune.training.loss import SpeechLoss


@dataclass(frozen=True)
class Validation:
    """Evaluates the validation speech: each utterance alone, in the window that `options` sets."""

    utterances: Sequence[Utterance]
    options: ValidationSection
    loss: SpeechLoss
    stop: StopToken
    reporter: Reporter
    _reported: set[str] = field(default_factory=set)

    def metrics(self, *, step: int) -> dict[str, float]:
        """Compute eval_loss, and with `predict_with_generate` eval_wer and eval_cer, after a training step.

        Raises Stopped, and EartuneError if the loss is not finite.
        """
        found = {"eval_loss": self._loss(step)}
        if self.options.predict_with_generate:
            scores = self._scores()
            self._report_remarks(scores)
            if scores.has_words:
                found |= {"eval_wer": scores.words.rate, "eval_cer": scores.chars.rate}
            else:
                # share of clips with words in the hypothesis: an error rate needs words in the reference
                share = scores.no_speech.num_with_words / scores.no_speech.num_utterances
                found |= {"eval_wer": share, "eval_cer": share}
        return found

    def _report_remarks(self, scores: Scores) -> None:
        """Report what the rates do not show, each remark once."""
        remarks = [*reference_remarks(scores), *hypothesis_remarks(scores)]
        if not scores.has_words:
            remarks.append("WER and CER are the share of clips without speech whose hypothesis has words")
        for remark in remarks:
            if remark not in self._reported:
                self.reporter.line(f"validation: {remark}")
                self._reported.add(remark)

    def _scores(self) -> Scores:
        model = self.loss.model
        options = DecodeOptions(
            max_length=self.options.generation_max_length,
            num_beams=self.options.generation_num_beams,
            window=self.options.eval_window,
        )
        with self.reporter.task("validating", len(self.utterances)) as task:
            hypotheses = decode_utterances(
                model,
                self.utterances,
                batch_size=self.options.per_device_eval_batch_size,
                options=options,
                precision=self.loss.precision,
                task=task,
                should_stop=self.stop.is_set,
            )
        references = [utterance.text for utterance in self.utterances]
        return score(references, hypotheses, languages=[model.languages(u).text for u in self.utterances])

    @cached_property
    def _dataset(self) -> SpeechDataset:
        """The utterances with their tokens, sorted by length for short windows."""
        return SpeechDataset(sorted(self.utterances, key=lambda u: -u.duration_s), self.loss.model)

    def _loss(self, step: int) -> float:
        """Average the loss over all tokens; NaN where there are none."""
        dataset = self._dataset
        width_s = partial(self.loss.model.window.width_s, window=self.options.eval_window)
        batch_size = self.options.per_device_eval_batch_size
        was_training = self.loss.training
        self.loss.eval()
        summed, count = 0.0, 0
        try:
            for rows in in_order(dataset.utterances, batch_size=batch_size, width_s=width_s):
                if self.stop.is_set():
                    raise Stopped
                batch = dataset[rows]
                with torch.no_grad():
                    summed += float(self.loss([batch]))
                count += batch.num_target_tokens
        finally:
            self.loss.train(was_training)
        if not count:
            return math.nan
        if not math.isfinite(summed):
            raise EartuneError(f"the validation loss is {summed / count} after step {step}: {ADVICE}")
        return summed / count
