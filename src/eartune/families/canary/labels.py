"""Transcripts as Canary's decoder reads and answers them: prompt, text, end of text; only the answer carries loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from eartune.errors import nearest
from eartune.families.canary.prompt import END, Prompts
from eartune.manifest import Utterance
from eartune.nemo.coverage import unknown_finding
from eartune.speech_model import IGNORED, Labels, Spoken


@dataclass(frozen=True)
class EncodedTranscripts:
    """Prompts and texts as tokens, light enough for workers."""

    prompts: tuple[tuple[int, ...], ...]
    texts: tuple[tuple[int, ...], ...]
    languages: tuple[str | None, ...]
    end: int

    def num_tokens(self, index: int) -> int:
        return len(self.prompts[index]) + len(self.texts[index]) + 1

    def language(self, index: int) -> str | None:
        return self.languages[index]

    def labels(self, spoken: Sequence[Spoken], *, timestamps: bool) -> Labels:
        """Pair what the decoder reads with what it answers; a window holds one clip, and its times are not asked."""
        assert len(spoken) == 1
        assert not timestamps
        prompt, text = self.prompts[spoken[0].index], self.texts[spoken[0].index]
        return Labels([*prompt, *text], [*[IGNORED] * (len(prompt) - 1), *text, self.end])


@dataclass(frozen=True)
class LabelEncoder:
    """Encodes transcripts for one model; `languages` are those it has a token for."""

    tokenizer: PreTrainedTokenizerBase
    prompts: Prompts
    max_tokens: int
    max_duration_s: float

    @cached_property
    def _known_prompts(self) -> dict[str, list[int]]:
        # a corpus has few different prompts
        return {}

    @cached_property
    def languages(self) -> frozenset[str]:
        tokens = (token for token in self.tokenizer.get_vocab() if token.startswith("<|") and token.endswith("|>"))
        return frozenset(name for name in (token[2:-2] for token in tokens) if len(name) == 2 and name.isalpha())

    @cached_property
    def end(self) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(END))

    def prompt(self, utterance: Utterance) -> list[int]:
        """Return the prompt's tokens; the first is the mark of a word's beginning, as NeMo's tokenizer writes it."""
        text = self.prompts.write(utterance)
        if text not in self._known_prompts:
            self._known_prompts[text] = list(self.tokenizer(text, add_special_tokens=False).input_ids)
        return self._known_prompts[text]

    def encode(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        return EncodedTranscripts(
            prompts=tuple(tuple(self.prompt(utterance)) for utterance in utterances),
            texts=tuple(map(tuple, self._texts(utterances))),
            languages=tuple(self.prompts.language_of(utterance) for utterance in utterances),
            end=self.end,
        )

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Say for each utterance why it cannot be trained on, or None."""
        return [self._finding(u, text) for u, text in zip(utterances, self._texts(utterances), strict=True)]

    def language_finding(self, utterance: Utterance) -> str | None:
        """Say why the languages of an utterance cannot be put into a prompt, or None."""
        for language in (self.prompts.source_of(utterance), self.prompts.target_of(utterance)):
            if language is None:
                return "no language is named; add source_lang and target_lang, or set --language"
            if language not in self.languages:
                known = sorted(self.languages)
                return f"language {language!r} is not one the model has a token for.{nearest(language, known)}"
        return None

    def _finding(self, utterance: Utterance, text: list[int]) -> str | None:
        if utterance.duration_s > self.max_duration_s:
            return (
                f"duration {utterance.duration_s:.1f} s exceeds {self.max_duration_s:.0f} s; cut it into shorter clips"
            )
        language_finding = self.language_finding(utterance)
        if language_finding is not None:
            return language_finding
        if self.tokenizer.unk_token_id in text:
            return unknown_finding(self.tokenizer, utterance)
        num_tokens = len(self.prompt(utterance)) + len(text) + 1
        if num_tokens > self.max_tokens:
            return f"text is {num_tokens} tokens with its prompt, and the model reads {self.max_tokens}; cut the clip"
        return None

    def _texts(self, utterances: Sequence[Utterance]) -> list[list[int]]:
        if not utterances:
            return []
        return list(self.tokenizer([u.text for u in utterances], add_special_tokens=False).input_ids)
