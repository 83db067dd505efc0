"""Tokenizer coverage of the training texts: measured before training, refused where it is too low."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from eartune.errors import InputError
from eartune.manifest import Utterance
from eartune.nemo.lacking import explain
from eartune.nemo.symbols import SYMBOL
from eartune.nemo.tokenizer import normalise
from eartune.nemo.tokenizer_pipeline import SPACE

# The share of characters that the tokenizer may lack, and of rows in which some may be lacking. Beyond both it is of
# another language; below, each such row is a finding of its own.
MOST_UNKNOWN, MOST_ROWS = 0.02, 0.25
NUM_SHOWN = 20


class Alphabet:
    """The characters and whole symbols that a tokenizer has tokens for."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, bool] = {}

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts."""
        return list(self.tokenizer(list(texts), add_special_tokens=False).input_ids) if texts else []

    def has(self, characters: str) -> bool:
        """Tell whether there are tokens for all of some characters."""
        unseen = sorted(set(characters) - self._known.keys())
        for character, found in zip(unseen, self.tokens(unseen), strict=True):
            self._known[character] = self.tokenizer.unk_token_id not in found
        return all(self._known[character] for character in characters)

    def num_single(self, tokens: Sequence[int]) -> int:
        """Count the tokens that stand for one character at most."""
        return sum(len(piece.strip(SPACE)) <= 1 for piece in self.tokenizer.convert_ids_to_tokens(list(tokens)))

    def lacking(self, text: str) -> Counter[str]:
        """Count the characters that no token stands for in a text whose tokens hold the unknown one."""
        unknown = self.tokenizer.unk_token_id
        counts = characters_of(self.tokenizer, [self.without_symbols(text)])
        found = Counter({character: count for character, count in counts.items() if not self.has(character)})
        # what is unknown in its place only, such as the letters of <unk>
        return found or Counter(word for word in text.split() if unknown in self.tokens([word])[0]) or Counter([text])

    def without_symbols(self, text: str) -> str:
        """Return a text without the symbols that have tokens as a whole, though not each of their letters has one."""
        return text if self._symbols is None else self._symbols.sub(" ", text)

    def num_symbols(self, text: str) -> int:
        """Count the symbols that have tokens as a whole."""
        return 0 if self._symbols is None else len(self._symbols.findall(text))

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        return dict(self.tokenizer.get_vocab())

    @cached_property
    def _symbols(self) -> re.Pattern[str] | None:
        vocabulary = self.vocabulary
        # pieces of text are made of characters that are pieces too
        unlike = [
            piece
            for piece in vocabulary
            if len(piece) > 1 and any(character not in vocabulary for character in piece.replace(SPACE, ""))
        ]
        found = [
            piece
            for piece, tokens in zip(unlike, self.tokens(unlike), strict=True)
            if vocabulary[piece] in tokens and self.tokenizer.unk_token_id not in tokens
        ]
        longest_first = sorted(found, key=lambda piece: (-len(piece), piece))
        return re.compile("|".join(map(re.escape, longest_first))) if found else None


@dataclass(frozen=True)
class Coverage:
    """Counts over texts: characters without white space, those that no token stands for, tokens, seconds of speech.

    A symbol that has a token as a whole is one character. `rows` are those with unknown characters.
    """

    characters: int
    unknown: Counter[str]
    tokens: int
    seconds: float
    rows: tuple[Utterance, ...]

    @property
    def unknown_rate(self) -> float:
        return self.unknown.total() / max(1, self.characters)

    def __str__(self) -> str:
        told = f"tokenizer: {self.tokens / max(self.seconds, 1e-9):.1f} tokens a second of speech"
        if not self.unknown:
            return f"{told}, every character known"
        return f"{told}, {100 * self.unknown_rate:.2g} % of the characters unknown: {_shown(self.unknown)}"


def measure(tokenizer: PreTrainedTokenizerBase, utterances: Sequence[Utterance]) -> Coverage:
    """Count what a tokenizer makes of the texts. Symbols of prompts that it does not have are left out of them."""
    alphabet = Alphabet(tokenizer)
    texts = [SYMBOL.sub(lambda found: found[0] if found[0] in alphabet.vocabulary else " ", u.text) for u in utterances]
    tokens = alphabet.tokens(texts)
    unknown: Counter[str] = Counter()
    rows = []
    for utterance, text, found in zip(utterances, texts, tokens, strict=True):
        if tokenizer.unk_token_id in found:
            unknown.update(alphabet.lacking(text))
            rows.append(utterance)
    characters = characters_of(tokenizer, map(alphabet.without_symbols, texts)).total()
    return Coverage(
        characters=characters + sum(map(alphabet.num_symbols, texts)),
        unknown=unknown,
        tokens=sum(map(len, tokens)),
        seconds=sum(u.duration_s for u in utterances),
        rows=tuple(rows),
    )


def characters_of(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Counter[str]:
    """Count characters without white space, as the tokenizer normalises them."""
    return Counter(c for text in texts for c in normalise(tokenizer, text) if not c.isspace() and c != SPACE)


def unknown_finding(alphabet: Alphabet, text: str, *, advice: str = "") -> str:
    """Say of a text with unknown characters which they are, of what kind, and what to do; `advice` ends the sentence
    unless the texts only have to be written otherwise."""
    unknown = alphabet.lacking(text)
    explained = explain(unknown, [text], alphabet.has, on_letters="write it in letters that it has, or leave it out")
    shown = "".join(sorted(unknown))
    return (
        f"text {text[:60]!r} has characters that the model has no token for: {shown[:40]!r} "
        f"({', '.join(explained.kinds)}); {explained.advice}{'' if explained.is_case_alone else advice}"
    )


def require_covered(
    tokenizer: PreTrainedTokenizerBase, utterances: Sequence[Utterance], *, advice: str = ""
) -> Coverage:
    """Measure, and raise InputError where the texts of many rows are not the tokenizer's; `advice` ends its message."""
    coverage = measure(tokenizer, utterances)
    if coverage.unknown_rate > MOST_UNKNOWN and len(coverage.rows) > MOST_ROWS * len(utterances):
        first = coverage.rows[0]
        explained = explain(coverage.unknown, [row.text for row in coverage.rows], Alphabet(tokenizer).has)
        raise InputError(
            f"the model's tokenizer has no token for {100 * coverage.unknown_rate:.0f} % of the characters of the "
            f"texts ({len(coverage.unknown)} different ones: {_shown(coverage.unknown)}), in {len(coverage.rows)} of "
            f"{len(utterances)} rows, the first {first.source or first.audio} ({first.text[:60]!r}): "
            f"{explained.counts}; {explained.advice}{'' if explained.is_case_alone else advice}"
        )
    return coverage


def _shown(unknown: Counter[str]) -> str:
    return " ".join(
        character if character.isprintable() else f"U+{ord(character[0]):04X}"
        for character, _ in unknown.most_common(NUM_SHOWN)
    )


def unknown_characters(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Counter[str]:
    """Count the characters of texts that no token stands for."""
    alphabet, kept = Alphabet(tokenizer), list(texts)
    unknown: Counter[str] = Counter()
    for text, tokens in zip(kept, alphabet.tokens(kept), strict=True):
        if tokenizer.unk_token_id in tokens:
            unknown.update(alphabet.lacking(text))
    return unknown
