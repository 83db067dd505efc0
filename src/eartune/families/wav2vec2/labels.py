"""Transcripts as targets of CTC: characters, and a delimiter between words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import Wav2Vec2CTCTokenizer

from eartune.errors import InputError
from eartune.families.wav2vec2 import MAX_DURATION_S
from eartune.manifest import Utterance
from eartune.manifest.remarks import no_speech_remarks, notes_in_brackets, rows_remark, times_asked_for
from eartune.manifest.utterance import translation_of
from eartune.model import Labels, PlacedUtterance
from eartune.ops.ctc import ctc_frames, repeats
from eartune.text.lacking import explain
from eartune.text.symbols import symbol_problem

# letters, the marks on them, and numbers: what a vocabulary is made of
SPOKEN = ("L", "M", "N")
# the marks that are written for an apostrophe, within a word
INNER_APOSTROPHE = re.compile(r"(?<=\w)['’ʼ‘`´](?=\w)")
# languages in which I is the capital of ı, and İ of i
TURKIC = ("tr", "az")
# shares of unknown characters and of rows with them, above which a vocabulary is not that of the texts
MAX_UNKNOWN, MAX_ROWS = 0.1, 0.5
ADVICE = "; new_vocabulary makes a vocabulary of the training texts, and extend_vocabulary adds what is missing"


@dataclass(frozen=True)
class EncodedTranscripts:
    """Texts as tokens, small enough to be sent to workers."""

    texts: tuple[tuple[int, ...], ...]
    languages: tuple[str | None, ...]

    def num_tokens(self, index: int) -> int:
        return len(self.texts[index])

    def language(self, index: int) -> str | None:
        return self.languages[index]

    def labels(self, placed: Sequence[PlacedUtterance], *, timestamps: bool) -> Labels:
        """Return the tokens of one utterance; `timestamps` does not apply."""
        assert len(placed) == 1
        assert not timestamps
        text = list(self.texts[placed[0].index])
        return Labels(decoder_input_ids=text, targets=text)


@dataclass(frozen=True)
class LabelEncoder:
    """Encodes transcripts for one model; `num_frames` maps a duration in seconds to positions of the encoder.

    Texts are written as the vocabulary is: in its case, and without the punctuation that it lacks.
    """

    tokenizer: Wav2Vec2CTCTokenizer
    num_frames: Callable[[float], int]
    default_language: str | None

    @cached_property
    def characters(self) -> frozenset[str]:
        """The characters that have a token."""
        special = {*self.tokenizer.all_special_tokens, self.tokenizer.word_delimiter_token}
        return frozenset(token for token in self.tokenizer.get_vocab() if token not in special)

    @cached_property
    def _change_case(self) -> Callable[[str], str]:
        """What gives a text the case of a vocabulary that has only one; a new vocabulary is in lower case."""
        if self.tokenizer.do_lower_case:
            return str.upper
        lower = any(character != character.upper() for character in self.characters)
        upper = any(character != character.lower() for character in self.characters)
        if lower and upper:
            return str
        if upper:
            return str.upper
        return _lower_turkic if self.default_language in TURKIC else str.lower

    def language_of(self, utterance: Utterance) -> str | None:
        return utterance.language or self.default_language

    def written(self, text: str) -> str:
        """Return a text in the vocabulary's case, with words parted by spaces and without other marks than it has."""
        return " ".join("".join(map(self._kept, self._spelled(text))).split())

    def _spelled(self, text: str) -> str:
        """Return a text in the vocabulary's case, with one spelling for apostrophes within words."""
        return INNER_APOSTROPHE.sub("'", self._change_case(unicodedata.normalize("NFC", text)))

    def _kept(self, character: str) -> str:
        if character in self.characters or is_spoken(character):
            return character
        return "" if character == "'" else " "

    def lacking(self, texts: Iterable[str]) -> str:
        """Return what a vocabulary of these texts lacks, the most frequent first: letters, numbers, apostrophes."""
        texts = list(texts)
        counts = self._unknown(texts)
        inner = sum(len(INNER_APOSTROPHE.findall(text)) for text in texts)
        if inner and "'" not in self.characters:
            counts["'"] = inner
        return "".join(character for character, _ in counts.most_common())

    def _unknown(self, texts: Iterable[str]) -> Counter[str]:
        counts = Counter(character for text in texts for character in self.written(text))
        return Counter({c: count for c, count in counts.items() if c != " " and c not in self.characters})

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts."""
        written = [self.written(text) for text in texts]
        if any(len(token) > 1 for token in self.characters):
            return [self.tokenizer(text).input_ids if text else [] for text in written]
        # the same, thirty times faster
        ids, unknown = self._ids, int(self.tokenizer.unk_token_id)
        return [[ids.get(character, unknown) for character in text] for text in written]

    @cached_property
    def _ids(self) -> dict[str, int]:
        vocabulary = self.tokenizer.get_vocab()
        return {character: vocabulary[character] for character in self.characters} | {
            " ": vocabulary[self.tokenizer.word_delimiter_token]
        }

    def encode(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        texts = tuple(map(tuple, self.tokens([utterance.text for utterance in utterances])))
        return EncodedTranscripts(texts, tuple(self.language_of(utterance) for utterance in utterances))

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Return for each utterance why it cannot be trained on, or None."""
        texts = self.tokens([utterance.text for utterance in utterances])
        return [self._finding(utterance, text) for utterance, text in zip(utterances, texts, strict=True)]

    def _finding(self, utterance: Utterance, text: Sequence[int]) -> str | None:
        if problem := decoding_finding(utterance) or symbol_problem(utterance.text):
            return problem
        duration_s, frames = utterance.duration_s, self.num_frames(utterance.duration_s)
        if duration_s > MAX_DURATION_S:
            return f"duration {duration_s:.1f} s exceeds {MAX_DURATION_S:.0f} s; cut it into shorter clips"
        if frames < 1:
            return f"duration {duration_s:.3f} s is too short for the encoder; leave it out"
        if self.tokenizer.unk_token_id in text:
            unknown = self._unknown([utterance.text])
            explained = explain(unknown, [utterance.text], self._has, on_letters="write it in letters that it has")
            return (
                f"text {utterance.text[:60]!r} has characters that the model has no token for: "
                f"{''.join(sorted(unknown))[:40]!r} ({', '.join(explained.kinds)}); {explained.advice}{ADVICE}"
            )
        if ctc_frames(text) > frames:
            repeated = f" ({repeats(text)} of them equal the one before)" if repeats(text) else ""
            return (
                f"its {len(text)} characters{repeated} need {ctc_frames(text)} positions of the encoder, and "
                f"{duration_s:.2f} s have {frames}: the text is of another recording, or the clip is cut too short"
            )
        return None

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return remarks on utterances without findings, see SpeechModel.remarks."""
        dropped = [u for u in utterances if u.text.strip() and not self.written(u.text)]
        marked = [u for u in utterances if self.marks_left_out(u.text)]
        marks = Counter(mark for u in marked for mark in self.marks_left_out(u.text))
        shown = " ".join(mark for mark, _ in marks.most_common(8))
        return [
            *no_speech_remarks(utterances),
            *notes_in_brackets(utterances, known=self.tokenizer.get_vocab()),
            *times_asked_for(utterances),
            *rows_remark(
                dropped, "has no letters and is trained as no speech", "have no letters and are trained as no speech"
            ),
            *rows_remark(
                marked,
                f"is trained without punctuation that the vocabulary lacks ({shown})",
                f"are trained without punctuation that the vocabulary lacks ({shown})",
            ),
        ]

    def marks_left_out(self, text: str) -> list[str]:
        """Return the punctuation of a text that is not trained."""
        return [c for c in self._spelled(text) if not c.isspace() and c not in self.characters and not is_spoken(c)]

    def describe(self, utterances: Sequence[Utterance]) -> str:
        """Return a line on the vocabulary. Raises InputError if it is not that of the texts, or has no characters."""
        if not self.characters:
            raise InputError(
                "new_vocabulary: the training texts have no letters or digits, so there is nothing to make a "
                "vocabulary of; check the column of transcripts"
            )
        texts = [utterance.text for utterance in utterances]
        tokens = self.tokens(texts)
        rows = [u for u, text in zip(utterances, tokens, strict=True) if self.tokenizer.unk_token_id in text]
        unknown = self._unknown(row.text for row in rows)
        delimiter = self.tokenizer.word_delimiter_token_id
        share = unknown.total() / max(1, sum(token != delimiter for text in tokens for token in text))
        if share > MAX_UNKNOWN and len(rows) > MAX_ROWS * len(utterances):
            explained = explain(unknown, texts, self._has)
            raise InputError(
                f"the model's vocabulary has no token for {100 * share:.0f} % of the characters of the texts, in "
                f"{len(rows)} of {len(utterances)} rows, the first {rows[0].source or rows[0].audio} "
                f"({rows[0].text[:60]!r}): {explained.counts}; {explained.advice}{ADVICE}"
            )
        rate = sum(map(len, tokens)) / max(1e-9, sum(utterance.duration_s for utterance in utterances))
        return f"vocabulary: {len(self.characters)} characters, {rate:.1f} of them in a second of speech"

    def _has(self, characters: str) -> bool:
        return all(character in self.characters for character in characters)


def _lower_turkic(text: str) -> str:
    return text.replace("I", "ı").replace("İ", "i").lower()


def is_spoken(character: str) -> bool:
    """Return whether a character is a letter, a mark on one, or a number."""
    return unicodedata.category(character)[0] in SPOKEN


def decoding_finding(utterance: Utterance) -> str | None:
    """Return why an utterance cannot be transcribed, or None: translations are not for CTC."""
    if (languages := translation_of(utterance)) is not None:
        source, target = languages
        return f"the row is a translation from {source!r} into {target!r}: use a Canary or a Whisper for translations"
    return None
