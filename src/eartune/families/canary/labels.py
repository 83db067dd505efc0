"""Transcripts as Canary's decoder inputs and targets: prompt, text, end of text; the prompt has no loss."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from eartune.families._nemo.coverage import Alphabet, unknown_finding
from eartune.families.canary.prompt import END, Prompts
from eartune.families.canary.times import timed_text, times_problem, without_times
from eartune.manifest import Utterance
from eartune.manifest.remarks import no_speech_remarks, notes_in_brackets, rows_remark
from eartune.model import IGNORED, Labels, PlacedUtterance
from eartune.text.symbols import symbol_problem

_SPEAKER = re.compile(r"<\|(?:spkchange|spk\d+)\|>")


# script, by the prefix of its Unicode character names -> languages that are written in it only
_TABLE = {
    (
        "LATIN",
    ): "en de fr es it pt nl pl cs sk sl hr hu ro sv da no nb nn fi et lv lt mt ca gl eu ga cy is tr vi id ms sw",
    ("CYRILLIC",): "ru uk be bg mk ky tg mn",
    ("GREEK",): "el",
    ("ARABIC",): "ar fa ur ps",
    ("HEBREW",): "he yi",
    ("DEVANAGARI",): "hi mr ne",
    ("BENGALI",): "bn as",
    ("TAMIL",): "ta",
    ("TELUGU",): "te",
    ("THAI",): "th",
    ("GEORGIAN",): "ka",
    ("ARMENIAN",): "hy",
    ("HANGUL", "CJK"): "ko",
    ("CJK",): "zh yue",
    ("CJK", "HIRAGANA", "KATAKANA"): "ja",
}
_SCRIPTS = {language: scripts for scripts, languages in _TABLE.items() for language in languages.split()}


@dataclass(frozen=True)
class EncodedTranscripts:
    """Prompts and texts as tokens, small enough to be sent to workers."""

    prompts: tuple[tuple[int, ...], ...]
    texts: tuple[tuple[int, ...], ...]
    languages: tuple[str | None, ...]
    end: int

    def num_tokens(self, index: int) -> int:
        return len(self.prompts[index]) + len(self.texts[index]) + 1

    def language(self, index: int) -> str | None:
        return self.languages[index]

    def labels(self, placed: Sequence[PlacedUtterance], *, timestamps: bool) -> Labels:
        """Return decoder inputs and targets; a window has one utterance, and `timestamps` does not apply."""
        assert len(placed) == 1
        assert not timestamps
        prompt, text = self.prompts[placed[0].index], self.texts[placed[0].index]
        return Labels([*prompt, *text], [*[IGNORED] * (len(prompt) - 1), *text, self.end])


def _foreign_remarks(rows: Sequence[Utterance], prompts: Prompts) -> list[str]:
    if not rows:
        return []
    language = prompts.target_of(rows[0])
    return rows_remark(
        rows,
        f"has a text without any letter of the script of its target language ({language})",
        f"have texts without any letter of the script of their target language, such as {language}",
    )


@dataclass(frozen=True)
class LabelEncoder:
    """Encodes transcripts for one model."""

    tokenizer: PreTrainedTokenizerBase
    prompts: Prompts
    max_tokens: int
    max_duration_s: float

    @cached_property
    def _known_prompts(self) -> dict[str, list[int]]:
        # a corpus has few different prompts
        return {}

    @cached_property
    def alphabet(self) -> Alphabet:
        return Alphabet(self.tokenizer)

    @property
    def languages(self) -> frozenset[str]:
        return self.prompts.languages

    @cached_property
    def end(self) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(END))

    def prompt(self, utterance: Utterance) -> list[int]:
        """Return the prompt's tokens; the first is SentencePiece's word boundary, as from NeMo's tokenizer."""
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
        """Return for each utterance why it cannot be trained on, or None."""
        return [self._finding(u, text) for u, text in zip(utterances, self._texts(utterances), strict=True)]

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return remarks on utterances without findings, see SpeechModel.remarks."""
        untimed = [u for u in utterances if u.segments and not self.prompts.switched("timestamp", u)]
        unknown_task = [u for u in utterances if self.prompts.unread_task(u) is not None]
        foreign = [u for u in utterances if not is_in_script_of(without_times(u.text), self.prompts.target_of(u))]
        not_translated = [u for u in utterances if self.prompts.source_of(u) == self.prompts.target_of(u)]
        task = self.prompts.unread_task(unknown_task[0]) if unknown_task else None
        why = "that are not trained, as timestamp is not yes"
        ignored = f"task {task!r}, which Canary does not know and ignores (asr, ast)"
        return [
            *no_speech_remarks(utterances),
            *notes_in_brackets(utterances, known=self.tokenizer.get_vocab()),
            *rows_remark(untimed, f"has times {why}", f"have times {why}"),
            *_foreign_remarks(foreign, self.prompts),
            *rows_remark(
                not_translated if self.prompts.task == "translate" else [],
                "is not a translation, though the task is translate: its target_lang is the spoken language",
                "are not translations, though the task is translate: their target_lang is the spoken language",
            ),
            *rows_remark(unknown_task, f"has the {ignored}", f"have tasks such as {ignored.removeprefix('task ')}"),
        ]

    def prompt_finding(self, utterance: Utterance) -> str | None:
        """Return why an utterance's fields cannot be written as a prompt, or None."""
        problem = self.prompts.problem(utterance)
        if problem is None and self.tokenizer.unk_token_id in self.prompt(utterance):
            return f"the prompt {self.prompts.write(utterance)!r} has characters without a token: remove them"
        return problem

    def _finding(self, utterance: Utterance, text: list[int]) -> str | None:
        if utterance.duration_s > self.max_duration_s:
            return (
                f"duration {utterance.duration_s:.1f} s exceeds {self.max_duration_s:.0f} s; cut it into shorter clips"
            )
        problem = self.prompt_finding(utterance) or self._symbol_finding(utterance)
        if problem is not None:
            return problem
        if self.tokenizer.unk_token_id in text:
            return unknown_finding(self.alphabet, self._text(utterance))
        num_prompt, num_text = len(self.prompt(utterance)), len(text)
        if num_prompt + num_text + 1 <= self.max_tokens:
            return None
        sizes = f"{num_prompt + num_text + 1} tokens with its prompt, and the model takes {self.max_tokens}"
        if num_prompt > num_text:
            return f"text is {sizes}: shorten the prompt's decodercontext ({num_prompt} tokens)"
        return f"text is {sizes}: cut the clip and its text, or check that the text is of this recording"

    def _symbol_finding(self, utterance: Utterance) -> str | None:
        timed = self.prompts.switched("timestamp", utterance)
        found = symbol_problem(utterance.text, known=self.alphabet.vocabulary, times=timed)
        if found is None and timed:
            found = times_problem(utterance, self.prompts.symbols)
        speaker = _SPEAKER.search(utterance.text)
        if found is None and speaker is not None and not self.prompts.switched("diarize", utterance):
            return f"text holds {speaker[0]!r}, a change of speakers, and diarize is not yes: add diarize: yes"
        return found

    def _text(self, utterance: Utterance) -> str:
        # a text without the requested times is a finding; its tokens are then those of the plain text
        is_timed = self.prompts.switched("timestamp", utterance)
        return (timed_text(utterance) if is_timed else "") or utterance.text

    def _texts(self, utterances: Sequence[Utterance]) -> list[list[int]]:
        tokens = self.alphabet.tokens([self._text(utterance) for utterance in utterances])
        return [found or list(self._empty_text) for found in tokens]

    @cached_property
    def _empty_text(self) -> tuple[int, ...]:
        """The tokens of an empty text before its end token: those that NeMo's tokenizer puts before any text."""
        (tokens,) = self.alphabet.tokens([END])
        return tuple(tokens[: tokens.index(self.end)])


def is_in_script_of(text: str, language: str | None) -> bool:
    """Return whether a text may be of a language: it has a letter of the language's script, or no letters."""
    scripts = _SCRIPTS.get(language or "")
    letters = [letter for letter in text if letter.isalpha()]
    return scripts is None or not letters or any(unicodedata.name(c, "").startswith(scripts) for c in letters)
