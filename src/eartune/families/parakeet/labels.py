"""Transcripts as Parakeet's heads answer them: tokens, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from eartune.manifest import Utterance
from eartune.nemo.coverage import unknown_finding
from eartune.nemo.speech import MAX_DURATION_S
from eartune.speech_model import Labels, Spoken

ADVICE_ON_LACKING = "; extend_vocabulary adds tokens for those of the training texts (--extend-vocabulary)"


@dataclass(frozen=True)
class EncodedTranscripts:
    """Texts as tokens, light enough for workers."""

    texts: tuple[tuple[int, ...], ...]
    languages: tuple[str | None, ...]

    def num_tokens(self, index: int) -> int:
        return len(self.texts[index])

    def language(self, index: int) -> str | None:
        return self.languages[index]

    def labels(self, spoken: Sequence[Spoken], *, timestamps: bool) -> Labels:
        """Give the tokens of one clip, which a prediction network reads behind a blank; its times are not asked."""
        assert len(spoken) == 1
        assert not timestamps
        text = list(self.texts[spoken[0].index])
        return Labels(decoder_input_ids=text, targets=text)


@dataclass(frozen=True)
class LabelEncoder:
    """Encodes transcripts for one model; `num_frames` tells how many positions its encoder makes of some seconds."""

    tokenizer: PreTrainedTokenizerBase
    num_frames: Callable[[float], int]
    default_language: str | None

    def language_of(self, utterance: Utterance) -> str | None:
        return utterance.language or self.default_language

    def encode(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        texts = tuple(map(tuple, self.tokens([utterance.text for utterance in utterances])))
        return EncodedTranscripts(texts, tuple(self.language_of(utterance) for utterance in utterances))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts."""
        if not texts:
            return []
        return list(self.tokenizer(list(texts), add_special_tokens=False).input_ids)

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Say for each utterance why it cannot be trained on, or None."""
        tokens = self.tokens([utterance.text for utterance in utterances])
        return [self._finding(u, text) for u, text in zip(utterances, tokens, strict=True)]

    def _finding(self, utterance: Utterance, text: list[int]) -> str | None:
        if utterance.duration_s > MAX_DURATION_S:
            return f"duration {utterance.duration_s:.1f} s exceeds {MAX_DURATION_S:.0f} s; cut the clip"
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and unknown in text:
            return unknown_finding(self.tokenizer, utterance, advice=ADVICE_ON_LACKING)
        frames, repeated = self.num_frames(utterance.duration_s), sum(a == b for a, b in itertools.pairwise(text))
        if not text or len(text) + repeated > frames:
            return (
                f"text is {len(text)} tokens ({repeated} of them repeat the one before) and the clip of "
                f"{utterance.duration_s:.1f} s has {frames} positions, one for each: is the text of another recording?"
            )
        return None
