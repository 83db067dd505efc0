"""Transcripts as targets of Parakeet's heads: tokens without special tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from eartune.families._nemo.coverage import Alphabet, unknown_finding
from eartune.families._nemo.formats import MAX_DURATION_S
from eartune.families._nemo.slots import read_language, read_task, task_named, value_of
from eartune.families.parakeet.heads import Heads
from eartune.families.parakeet.prompts import Prompts
from eartune.languages import AUTO
from eartune.manifest import Utterance
from eartune.manifest.remarks import no_speech_remarks, notes_in_brackets, rows_remark, times_asked_for
from eartune.model import IGNORED, Labels, PlacedUtterance
from eartune.ops.ctc import ctc_frames, repeats
from eartune.text.symbols import symbol_problem

ADVICE_ON_LACKING = "; extend_vocabulary adds tokens for those of the training texts (--extend-vocabulary)"


@dataclass(frozen=True)
class EncodedTranscripts:
    """Texts as tokens, small enough to be sent to workers."""

    texts: tuple[tuple[int, ...], ...]
    languages: tuple[str | None, ...]
    # numbers of language prompts, for models that have them
    prompts: tuple[int, ...] | None = None

    def num_tokens(self, index: int) -> int:
        return len(self.texts[index]) + (self.prompts is not None)

    def language(self, index: int) -> str | None:
        return self.languages[index]

    def labels(self, placed: Sequence[PlacedUtterance], *, timestamps: bool) -> Labels:
        """Return the tokens of one utterance, which the loss prefixes with a blank; `timestamps` does not apply.

        A prompt precedes them and is not a target.
        """
        assert len(placed) == 1
        assert not timestamps
        index = placed[0].index
        text = list(self.texts[index])
        if self.prompts is not None:
            return Labels(decoder_input_ids=[self.prompts[index], *text], targets=[IGNORED, *text])
        return Labels(decoder_input_ids=text, targets=text)


def translation_problem(utterance: Utterance) -> str | None:
    """Return why a row is a translation, not a transcript, or None."""
    row = utterance.extra
    named = [value_of(row, "source_lang") or utterance.language, value_of(row, "target_lang")]
    named = [None if value == AUTO else value for value in named]
    source, target = (read_language(value, ()) or value for value in named)
    advice = "and a Parakeet only transcribes: use a Canary or a Whisper for translations"
    if None not in named and source != target:
        return f"the row is a translation from {source!r} into {target!r}, {advice}"
    task = task_named(row)
    return f"the row's task is {task!r}, {advice}" if read_task(task) == "translate" else None


@dataclass(frozen=True)
class LabelEncoder:
    """Encodes transcripts for one model; `num_frames` maps a duration in seconds to encoder frames of 80 ms."""

    tokenizer: PreTrainedTokenizerBase
    num_frames: Callable[[float], int]
    default_language: str | None
    heads: Heads
    prompts: Prompts | None = None

    @cached_property
    def alphabet(self) -> Alphabet:
        return Alphabet(self.tokenizer)

    def language_of(self, utterance: Utterance) -> str | None:
        return utterance.language or self.default_language

    def encode(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        texts = tuple(map(tuple, self.tokens([utterance.text for utterance in utterances])))
        languages = tuple(self.language_of(utterance) for utterance in utterances)
        if self.prompts is None:
            return EncodedTranscripts(texts, languages)
        numbers = [self.prompt_of(utterance) for utterance in utterances]
        tagged = tuple(self.prompts.tagged(text, number) for text, number in zip(texts, numbers, strict=True))
        return EncodedTranscripts(tagged, languages, tuple(number for number in numbers if number is not None))

    def prompt_of(self, utterance: Utterance) -> int | None:
        """Return the number of an utterance's language prompt; None: the model or the language has no prompt."""
        return None if self.prompts is None else self.prompts.number(utterance, self.language_of(utterance))

    def prompt_problem(self, utterance: Utterance) -> str | None:
        """Return why an utterance has no language prompt although the model needs one, or None."""
        if self.prompts is None or self.prompt_of(utterance) is not None:
            return None
        language, known = self.language_of(utterance), ", ".join(list(self.prompts.numbers)[:20])
        if language is None:
            return f"no language is given, and this model does not detect it: add --language; it knows {known}"
        return f"language {language!r} has no prompt in this model, which has {known}: use one of these in target_lang"

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts."""
        return self.alphabet.tokens(texts)

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Return for each utterance why it cannot be trained on, or None."""
        return [
            self._finding(u, text)
            for u, text in zip(utterances, self.tokens([utterance.text for utterance in utterances]), strict=True)
        ]

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return remarks on utterances without findings, see SpeechModel.remarks."""
        frames = [self.num_frames(utterance.duration_s) for utterance in utterances]
        rows = list(zip(utterances, self.tokens([utterance.text for utterance in utterances]), frames, strict=True))
        most = self.heads.max_tokens_per_frame
        dropped = [u for u, text, _ in rows if not text and u.text.strip()]
        timed = [u for u in utterances if u.segments]
        found = [
            *no_speech_remarks(utterances),
            *notes_in_brackets(utterances, known=self.tokenizer.get_vocab()),
            *times_asked_for(utterances),
            *self._prompt_remarks(utterances),
            *rows_remark(
                timed,
                "has times, which are not used to train a Parakeet",
                "have times, which are not used to train a Parakeet",
            ),
            *rows_remark(
                dropped,
                "has a text without tokens, and is trained as no speech",
                "have texts without tokens, and are trained as no speech",
            ),
        ]
        if self.heads.is_ctc:
            return found
        advice = "check that {} of this recording, and the clip is not truncated"
        if self.heads.ctc_weight > 0:
            beyond_ctc = [u for u, text, num_frames in rows if ctc_frames(text) > num_frames]
            limit = (
                "more tokens (and blanks between repeated ones) than encoder frames, so only the transducer is trained"
            )
            found += rows_remark(
                beyond_ctc,
                f"has {limit} on it, not the CTC head: {advice.format('the text is')}",
                f"have {limit} on them, not the CTC head: {advice.format('the texts are')}",
            )
        else:
            crowded = [u for u, text, num_frames in rows if len(text) > num_frames]
            found += rows_remark(
                crowded,
                f"has more tokens than encoder frames, and is trained: {advice.format('the text is')}",
                f"have more tokens than encoder frames, and are trained: {advice.format('the texts are')}",
            )
        if most:
            beyond_limit = [u for u, text, num_frames in rows if len(text) > most * num_frames]
            limit = f"more than {most} tokens per frame, the limit of decoding"
            found += rows_remark(beyond_limit, f"has {limit}", f"have {limit}")
        return found

    def _prompt_remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        if self.prompts is None:
            return []
        unknown = [u for u in utterances if (code := self.language_of(u)) is not None and not self.prompts.names(code)]
        what = f"without a prompt in this model, and trained with the prompt {AUTO!r}"
        found = rows_remark(unknown, f"is in a language {what}", f"are in languages {what}")
        tagged = [u for u in utterances if u.text.strip() and self.prompt_of(u) in self.prompts.tags]
        return found + rows_remark(
            tagged,
            "is trained with a language tag after the text, as this model was; decoding removes it",
            "are trained with language tags after the texts, as this model was; decoding removes them",
        )

    def _finding(self, utterance: Utterance, text: list[int]) -> str | None:
        if utterance.duration_s > MAX_DURATION_S:
            return f"duration {utterance.duration_s:.1f} s exceeds {MAX_DURATION_S:.0f} s; cut the clip"
        problem = translation_problem(utterance) or self.prompt_problem(utterance)
        if problem is not None:
            return problem
        symbol = symbol_problem(utterance.text, known=self.alphabet.vocabulary)
        if symbol is not None:
            return symbol
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and unknown in text:
            return unknown_finding(self.alphabet, utterance.text, advice=ADVICE_ON_LACKING)
        return self._alignment_finding(utterance, text)

    def _alignment_finding(self, utterance: Utterance, text: list[int]) -> str | None:
        frames = self.num_frames(utterance.duration_s)
        clip = f"the clip of {utterance.duration_s:.3g} s has {frames} encoder frame{'' if frames == 1 else 's'}"
        if frames == 0:
            return f"{clip}, too short to be trained: cut it longer"
        if self.heads.is_ctc and ctc_frames(text) > frames:
            repeated = f" ({repeats(text)} of them equal the one before)" if repeats(text) else ""
            return (
                f"text is {len(text)} tokens{repeated}, for which CTC needs "
                f"{ctc_frames(text)} frames, and {clip}: the text is of another recording, or the clip is truncated"
                f"{self._on_single_characters(text)}; a transducer (RNN-T, TDT) has no such limit"
            )
        if not self.heads.align(frames, len(text)):
            durations = ", ".join(map(str, self.heads.durations))
            return (
                f"text is {len(text)} tokens and {clip}, which this TDT's tokens and blanks, of {durations} frames, "
                "cannot fill: the text is of another recording, or the clip is truncated"
            )
        return None

    def _on_single_characters(self, text: list[int]) -> str:
        single = self.alphabet.num_single(text)
        if 2 * single <= len(text):
            return ""
        return f", or the tokens are too short ({single} are single characters, such as --extend-vocabulary adds)"
