"""Tokenizer coverage of the training texts, measured before training and refused where it is too low."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from eartune.errors import InputError
from eartune.families._nemo.tokenizer import SPACE, normalise
from eartune.manifest import Utterance
from eartune.text.lacking import explain
from eartune.text.symbols import SYMBOL

# The highest allowed share of unknown characters, and of rows that contain any. Above both the tokenizer is for another
# language; below, each such row is a separate finding.
MAX_UNKNOWN, MAX_ROWS = 0.02, 0.25
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
        """Return whether there are tokens for all of the given characters."""
        unseen = sorted(set(characters) - self._known.keys())
        for character, found in zip(unseen, self.tokens(unseen), strict=True):
            self._known[character] = self.tokenizer.unk_token_id not in found
        return all(self._known[character] for character in characters)

    def num_single(self, tokens: Sequence[int]) -> int:
        """Count the tokens of at most one character."""
        return sum(len(piece.strip(SPACE)) <= 1 for piece in self.tokenizer.convert_ids_to_tokens(list(tokens)))

    def lacking(self, text: str) -> Counter[str]:
        """Count the characters without a token in a text whose tokens contain the unknown token."""
        unknown = self.tokenizer.unk_token_id
        counts = characters_of(self.tokenizer, [self.without_symbols(text)])
        found = Counter({character: count for character, count in counts.items() if not self.has(character)})
        # unknown only in their context, such as the letters of <unk>
        return found or Counter(word for word in text.split() if unknown in self.tokens([word])[0]) or Counter([text])

    def without_symbols(self, text: str) -> str:
        """Return a text without the symbols that have their own token although some of their letters have none."""
        return text if self._symbols is None else self._symbols.sub(" ", text)

    def num_symbols(self, text: str) -> int:
        """Count the symbols that have their own token."""
        return 0 if self._symbols is None else len(self._symbols.findall(text))

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        return dict(self.tokenizer.get_vocab())

    @cached_property
    def _symbols(self) -> re.Pattern[str] | None:
        vocabulary = self.vocabulary
        # ordinary pieces consist of characters that are pieces too
        candidates = [
            piece
            for piece in vocabulary
            if len(piece) > 1 and any(character not in vocabulary for character in piece.replace(SPACE, ""))
        ]
        found = [
            piece
            for piece, tokens in zip(candidates, self.tokens(candidates), strict=True)
            if vocabulary[piece] in tokens and self.tokenizer.unk_token_id not in tokens
        ]
        longest_first = sorted(found, key=lambda piece: (-len(piece), piece))
        return re.compile("|".join(map(re.escape, longest_first))) if found else None


@dataclass(frozen=True)
class Coverage:
    """Counts over texts: characters without white space, those without a token, tokens, seconds of speech.

    A symbol that has its own token is one character. `rows` are those with unknown characters.
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
        rate = f"tokenizer: {self.tokens / max(self.seconds, 1e-9):.1f} tokens a second of speech"
        if not self.unknown:
            return f"{rate}, every character known"
        return f"{rate}, {100 * self.unknown_rate:.2g} % of the characters unknown: {_shown(self.unknown)}"


def measure_coverage(tokenizer: PreTrainedTokenizerBase, utterances: Sequence[Utterance]) -> Coverage:
    """Measure the coverage of texts. Prompt symbols that the tokenizer does not have are ignored."""
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
    """Return the finding for a text with unknown characters: which, of what kind, and what to do; `advice` is appended
    unless changing the case is enough."""
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
    """Measure the coverage; raise InputError, ending with `advice`, where it is too low in many rows."""
    coverage = measure_coverage(tokenizer, utterances)
    if coverage.unknown_rate > MAX_UNKNOWN and len(coverage.rows) > MAX_ROWS * len(utterances):
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
    """Count the characters of texts that have no token."""
    alphabet, kept = Alphabet(tokenizer), list(texts)
    unknown: Counter[str] = Counter()
    for text, tokens in zip(kept, alphabet.tokens(kept), strict=True):
        if tokenizer.unk_token_id in tokens:
            unknown.update(alphabet.lacking(text))
    return unknown
