"""Transcripts as Whisper's decoder reads and answers them: prompt, text, end of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import WhisperTokenizer

from eartune.errors import nearest
from eartune.families.whisper.features import WINDOW_S
from eartune.manifest import Utterance
from eartune.speech_model import IGNORED, Labels

# ISO codes that Whisper has other tokens for
WHISPER_CODES = {"jv": "jw", "nb": "no", "fil": "tl"}
# Whisper writes a space before each word, the first included, except where a script has no spaces.
NO_LEADING_SPACE = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


def whisper_code(language: str | None) -> str | None:
    """Return the code under which Whisper has a token for a language."""
    return language if language is None else WHISPER_CODES.get(language, language)


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
        tokens = ["<|startoftranscript|>"]
        if self.languages:
            tokens += [f"<|{whisper_code(language)}|>", f"<|{self.task}|>"]
        return [self.tokenizer.convert_tokens_to_ids(token) for token in [*tokens, "<|notimestamps|>"]]

    def encode(self, utterance: Utterance) -> Labels:
        """Encode one utterance.

        The language token carries loss, so that language detection learns too; task and <|notimestamps|> are the
        caller's choice at decoding and carry none: a model taught to answer <|notimestamps|> loses its timestamps.
        """
        prompt = self.prompt(self.language_of(utterance))
        text = self._texts([utterance])[0]
        answer = [*text, self.tokenizer.eos_token_id]
        known = prompt[1:2] + [IGNORED] * (len(prompt) - 2) if self.languages else [IGNORED] * (len(prompt) - 1)
        return Labels(decoder_input_ids=[*prompt, *text], targets=[*known, *answer])

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
