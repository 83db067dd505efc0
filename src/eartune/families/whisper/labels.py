"""Transcripts as Whisper's decoder reads and answers them: prompt, text, end of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import WhisperTokenizer

from eartune.errors import nearest
from eartune.families.whisper.features import WINDOW_S
from eartune.families.whisper.tokenizer import TIMESTAMP_STEP_S
from eartune.languages import whisper_code
from eartune.manifest import Utterance
from eartune.speech_model import IGNORED, Labels, Spoken

# Whisper writes a space before each word, the first included, except where a script has no spaces.
NO_LEADING_SPACE = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


@dataclass(frozen=True)
class EncodedTranscripts:
    """Transcripts as tokens, light enough for workers; `starts` are the prompts by language, up to the task token."""

    texts: tuple[tuple[int, ...], ...]
    languages: tuple[str | None, ...]
    starts: Mapping[str | None, tuple[int, ...]]
    no_timestamps: int
    first_timestamp: int
    end: int

    def num_tokens(self, index: int) -> int:
        """Count the text and its two timestamps."""
        return len(self.texts[index]) + 2

    def language(self, index: int) -> str | None:
        return self.languages[index]

    def labels(self, spoken: Sequence[Spoken], *, timestamps: bool) -> Labels:
        """Join what is spoken in one window, all in one language, in the order of time.

        The language token carries loss, so that language detection learns too; task and <|notimestamps|> are the
        caller's choice at decoding and carry none: a model taught to answer <|notimestamps|> loses its timestamps.
        """
        prompt = list(self.starts[self.languages[spoken[0].index]])
        learnt = prompt[1:2] if len(prompt) > 1 else []
        answer: list[int] = []
        if timestamps:
            for part in spoken:
                answer += [self._timestamp(part.start_s), *self.texts[part.index], self._timestamp(part.end_s)]
        else:
            prompt.append(self.no_timestamps)
            for part in spoken:
                answer += self.texts[part.index]
        answer.append(self.end)
        given = [*learnt, *[IGNORED] * (len(prompt) - 1 - len(learnt))]
        return Labels(decoder_input_ids=[*prompt, *answer[:-1]], targets=[*given, *answer])

    def _timestamp(self, seconds: float) -> int:
        return self.first_timestamp + round(min(seconds, WINDOW_S) / TIMESTAMP_STEP_S)


@dataclass(frozen=True)
class LabelEncoder:
    """Encodes transcripts for one model; `languages` is empty for an English-only model."""

    tokenizer: WhisperTokenizer
    languages: frozenset[str]
    task: str
    default_language: str | None
    max_tokens: int

    def prompt(self, language: str | None) -> list[int]:
        """Return <|startoftranscript|>, then language and task where the model has them, then <|notimestamps|>."""
        return [*self._start(language), self._token("<|notimestamps|>")]

    def encode(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        languages = tuple(self.language_of(utterance) for utterance in utterances)
        return EncodedTranscripts(
            texts=tuple(map(tuple, self._texts(utterances))),
            languages=languages,
            starts={language: tuple(self._start(language)) for language in set(languages)},
            no_timestamps=self._token("<|notimestamps|>"),
            first_timestamp=self._token("<|notimestamps|>") + 1,
            end=int(self.tokenizer.eos_token_id),
        )

    def _start(self, language: str | None) -> list[int]:
        tokens = ["<|startoftranscript|>"]
        if self.languages:
            tokens += [f"<|{whisper_code(language)}|>", f"<|{self.task}|>"]
        return [self._token(token) for token in tokens]

    def _token(self, token: str) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(token))

    def language_of(self, utterance: Utterance) -> str | None:
        return utterance.language or self.default_language or (None if self.languages else "en")

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Say for each utterance why it cannot be trained on, or None."""
        lengths = [len(text) for text in self._texts(utterances)]
        return [self._finding(utterance, length) for utterance, length in zip(utterances, lengths, strict=True)]

    def _finding(self, utterance: Utterance, num_text_tokens: int) -> str | None:
        language = self.language_of(utterance)
        if utterance.duration_s > WINDOW_S:
            return (
                f"duration {utterance.duration_s:.1f} s exceeds Whisper's {WINDOW_S:.0f} s; cut it into shorter clips"
            )
        if not self.languages and language not in (None, "en"):
            return f"language {language!r}, and the model is English-only; take a multilingual one (without .en)"
        if self.languages and language is None:
            return "no language is named; add a column, or set --language"
        if self.languages and whisper_code(language) not in self.languages:
            known = sorted(self.languages)
            return f"language {language!r} is not one the model has a token for.{nearest(str(language), known)}"
        num_tokens = len(self.prompt(language)) + num_text_tokens
        if num_tokens > self.max_tokens:
            return f"text is {num_tokens} tokens with its prompt, and Whisper reads {self.max_tokens}; cut the clip"
        return None

    def _texts(self, utterances: Sequence[Utterance]) -> list[list[int]]:
        if not utterances:
            return []
        texts = [
            ("" if self.language_of(utterance) in NO_LEADING_SPACE else " ") + utterance.text.strip()
            for utterance in utterances
        ]
        # a transcript that spells <|endoftext|> means these letters
        return list(self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True).input_ids)
