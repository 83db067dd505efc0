"""Transcripts as Whisper's decoder inputs and targets: prompt, text, end of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import WhisperTokenizer

from eartune.families.whisper.features import WINDOW_S
from eartune.families.whisper.sentences import sentences_finding
from eartune.families.whisper.symbols import TIME, special_finding
from eartune.families.whisper.tokenizer import TIMESTAMP_STEP_S
from eartune.language_tokens import NO_STAND_INS, StandIns, no_token
from eartune.manifest import Utterance
from eartune.manifest.utterance import translation_of
from eartune.model import IGNORED, Labels, PlacedUtterance

# Whisper writes a space before each word, the first included, except where a script has no spaces.
NO_LEADING_SPACE = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


@dataclass(frozen=True, slots=True)
class Sentence:
    """A part of a transcript as tokens, and its times in seconds from the start of the utterance."""

    start_s: float
    end_s: float
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class EncodedTranscripts:
    """Transcripts as tokens, small enough to send to workers; `starts` are prompts by language, up to the task token.

    An empty text means no speech. `sentences` are the parts of transcripts whose times are known.
    """

    texts: tuple[tuple[int, ...], ...]
    sentences: Mapping[int, tuple[Sentence, ...]]
    languages: tuple[str | None, ...]
    starts: Mapping[str | None, tuple[int, ...]]
    no_timestamps: int
    end: int
    max_tokens: int

    def num_tokens(self, index: int) -> int:
        """Count the text and the two timestamps of each of its sentences."""
        if not self.texts[index]:
            return 0
        timed = sum(len(sentence.tokens) + 2 for sentence in self._sentences(index))
        return max(len(self.texts[index]), timed)

    def language(self, index: int) -> str | None:
        return self.languages[index]

    def labels(self, placed: Sequence[PlacedUtterance], *, timestamps: bool) -> Labels:
        """Join the utterances of one window, all in one language, in the order of time.

        The language token carries loss, so that language detection learns too; task and <|notimestamps|> are
        chosen by the caller at decoding and carry none: a model trained to write <|notimestamps|> loses its timestamps.
        In a window without speech the target is <|nospeech|> in place of the language, as in Whisper's training (the
        decoding threshold reads it there), and after the whole prompt the end. Timestamps are left out where they would
        exceed the maximum length.
        """
        start = list(self.starts[self.languages[placed[0].index]])
        text = [token for part in placed for token in self.texts[part.index]]
        timed = self._timed(placed) if timestamps and text else []
        if timed and len(start) + len(timed) <= self.max_tokens:
            prompt, after_prompt = start, [*timed, self.end]
        else:
            prompt, after_prompt = [*start, self.no_timestamps], [*text, self.end]
        first = start[1:2] if text else [self.no_timestamps - 1]
        given = [*first, *[IGNORED] * (len(prompt) - 1 - len(first))]
        return Labels(decoder_input_ids=[*prompt, *after_prompt[:-1]], targets=[*given, *after_prompt])

    def _timed(self, placed: Sequence[PlacedUtterance]) -> list[int]:
        """Return the sentences of a window, each between its timestamps, which never decrease."""
        tokens: list[int] = []
        last = self.no_timestamps + 1
        for part in placed:
            for sentence in self._sentences(part.index, part.end_s - part.start_s):
                begin = max(last, self._timestamp(part.start_s + sentence.start_s))
                last = max(begin, self._timestamp(min(part.start_s + sentence.end_s, part.end_s)))
                tokens += [begin, *sentence.tokens, last]
        return tokens

    def _sentences(self, index: int, duration_s: float = 0.0) -> tuple[Sentence, ...]:
        """Return the sentences of a transcript: all of it as one where sentence times are not known."""
        whole = (Sentence(0.0, duration_s, self.texts[index]),) if self.texts[index] else ()
        return self.sentences.get(index, whole)

    def _timestamp(self, seconds: float) -> int:
        # <|0.00|> follows <|notimestamps|>
        return self.no_timestamps + 1 + round(min(seconds, WINDOW_S) / TIMESTAMP_STEP_S)


@dataclass(frozen=True)
class LabelEncoder:
    """Encodes transcripts for one model; `languages` is empty for an English-only model."""

    tokenizer: WhisperTokenizer
    languages: frozenset[str]
    task: str
    default_language: str | None
    max_tokens: int
    stand_ins: StandIns = NO_STAND_INS

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        return frozenset(self.tokenizer.get_vocab())

    def prompt(self, language: str | None) -> list[int]:
        """Return <|startoftranscript|>, then language and task where the model has them, then <|notimestamps|>."""
        return [*self._start(language), self._token("<|notimestamps|>")]

    def encode(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        languages = tuple(self.language_of(utterance) for utterance in utterances)
        return EncodedTranscripts(
            texts=tuple(map(tuple, self._texts(utterances))),
            sentences={
                index: self._sentences(utterance) for index, utterance in enumerate(utterances) if utterance.segments
            },
            languages=languages,
            starts={language: tuple(self._start(language)) for language in set(languages)},
            no_timestamps=self._token("<|notimestamps|>"),
            end=int(self.tokenizer.eos_token_id),
            max_tokens=self.max_tokens,
        )

    def _start(self, language: str | None) -> list[int]:
        tokens = ["<|startoftranscript|>"]
        if self.languages:
            tokens += [f"<|{self.token_code(language)}|>", f"<|{self.task}|>"]
        return [self._token(token) for token in tokens]

    def token_code(self, language: str | None) -> str | None:
        """Return the code of the token that stands for a language; None where none is given or the model has none.

        Raises InputError for a language that a multilingual model has no token for.
        """
        return self.stand_ins.token_code(language, self.languages) if self.languages else None

    def _token(self, token: str) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(token))

    def language_of(self, utterance: Utterance) -> str | None:
        return utterance.language or self.default_language or (None if self.languages else "en")

    def text_language(self, utterance: Utterance) -> str | None:
        """Return the language of an utterance's text: a translation is English, whatever the spoken language."""
        return "en" if self.task == "translate" else self.language_of(utterance)

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Return for each utterance why it cannot be trained on, or None."""
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
        problem = self._decoding_finding(utterance) or special_finding(utterance.text, self.vocabulary)
        if problem is not None:
            return problem
        num_tokens = len(self.prompt(language)) + num_text_tokens
        if num_tokens > self.max_tokens:
            return f"text is {num_tokens} tokens with its prompt, and Whisper reads {self.max_tokens}; cut the clip"
        return sentences_finding(utterance)

    def decoding_findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Return for each utterance why it cannot be decoded, or None."""
        return [self._decoding_finding(utterance) for utterance in utterances]

    def _decoding_finding(self, utterance: Utterance) -> str | None:
        language = self.language_of(utterance)
        if self.languages and language and not self.stand_ins.has_token(language, self.languages):
            return no_token(language, self.languages)
        source, target = translation_of(utterance) or (None, None)
        if target is None or (target == "en" and self.task == "translate"):
            return None
        advice = "train it with --task translate" if target == "en" else "a Whisper translates into English only"
        return f"the row is a translation from {source!r} into {target!r}: {advice}"

    def _texts(self, utterances: Sequence[Utterance]) -> list[list[int]]:
        return self._tokens([self._with_leading_space(utterance.text, utterance) for utterance in utterances])

    def _sentences(self, utterance: Utterance) -> tuple[Sentence, ...]:
        """Encode the parts of a transcript that contain words."""
        parts = [part for part in utterance.segments if part.text.strip()]
        tokens = self._tokens([self._with_leading_space(part.text, utterance) for part in parts])
        return tuple(Sentence(part.start_s, part.end_s, tuple(ids)) for part, ids in zip(parts, tokens, strict=True))

    def _with_leading_space(self, text: str, utterance: Utterance) -> str:
        spaced = text.strip() and self.text_language(utterance) not in NO_LEADING_SPACE
        return (" " if spaced else "") + text.strip()

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        """Encode texts as plain text: <|endoftext|> or <|0.00|> in a transcript does not become that special token."""
        if not texts:
            return []
        found = list(self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True).input_ids)
        # timestamps are added tokens but not special ones, so split_special_tokens does not split them
        return [self._as_plain_text(text) if TIME.search(text) else ids for text, ids in zip(texts, found, strict=True)]

    def _as_plain_text(self, text: str) -> list[int]:
        backend = self.tokenizer.backend_tokenizer
        pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for piece in pieces for token in backend.model.tokenize(piece)]
