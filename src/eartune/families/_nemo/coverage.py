"""Tokenizer coverage of the training texts, measured before training and refused where it is too low.

Characters without a token are explained: their kinds, and what to do about them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from eartune.errors import InputError
from eartune.families._nemo.symbols import SYMBOL
from eartune.families._nemo.tokenizer import SPACE, normalise
from eartune.manifest import Utterance

# The highest allowed share of unknown characters, and of rows that contain any. Above both the tokenizer is for another
# language; below, each such row is a separate finding.
MAX_UNKNOWN, MAX_ROWS = 0.02, 0.25
# characters without a token that a message shows of each kind
NUM_SHOWN_BY_KIND = 8
# and of all kinds together
NUM_SHOWN = 20
_OTHER_MODEL = "take a model of this language, such as a multilingual one"
_MARK = re.compile(r"[\[({<][^\[\](){}<>]{1,40}[\])}>]")


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


@dataclass(frozen=True)
class Lacking:
    """Kinds of missing characters, and advice; `is_case_alone` if all are known in the other case."""

    kinds: tuple[str, ...]
    counts: str
    """the kinds, each with its number of characters and the most frequent ones"""
    advice: str
    is_case_alone: bool


def explain(
    unknown: Counter[str], texts: Sequence[str], has: Callable[[str], bool], *, on_letters: str = _OTHER_MODEL
) -> Lacking:
    """Explain the unknown characters of texts; `has` returns whether all given characters have tokens.

    `on_letters` is the advice for missing letters.
    """
    by_kind: dict[str, Counter[str]] = {}
    for character, count in unknown.items():
        by_kind.setdefault(_kind(character, has), Counter())[character] = count
    ordered = sorted(by_kind, key=lambda kind: -by_kind[kind].total())
    counts = [f"{_named(kind)} ({by_kind[kind].total()}: {_examples(by_kind[kind])})" for kind in ordered]
    advice = dict.fromkeys(_advice(kind, by_kind[kind], texts) or on_letters for kind in ordered)
    is_case_alone = set(by_kind) <= {"capitals", "small letters"}
    return Lacking(tuple(map(_named, ordered)), ", ".join(counts), "; ".join(advice), is_case_alone)


def _kind(character: str, has: Callable[[str], bool]) -> str:
    if len(character) > 1:
        return "words"
    if character.lower() != character and has(character.lower()):
        return "capitals"
    if character.upper() != character and has(character.upper()):
        return "small letters"
    category = unicodedata.category(character)
    if category[0] == "N":
        return "digits"
    if category[0] in "PS":
        return "brackets" if character in "[](){}<>" else "signs"
    if category[0] == "C":
        return "invisible"
    return unicodedata.name(character, "unnamed").split()[0].split("-")[0]


def _named(kind: str) -> str:
    named = {
        "words": "words",
        "capitals": "capital letters that it has in lower case",
        "small letters": "lower-case letters that it has as capitals",
        "digits": "digits",
        "brackets": "brackets",
        "signs": "punctuation and signs",
        "invisible": "invisible characters",
    }
    return named.get(kind) or ("CJK characters" if kind == "CJK" else f"{kind.title()} letters")


def _advice(kind: str, characters: Counter[str], texts: Sequence[str]) -> str | None:
    if kind == "brackets":
        found = (mark[0] for text in texts for mark in _MARK.finditer(text) if set(mark[0]) & characters.keys())
        mark = next(found, None)
        if mark is not None:
            return f"remove marks such as {mark!r}, which are not spoken"
    advice = {
        "words": "write what is said in its place",
        "capitals": "write the texts in lower case",
        "small letters": "write the texts in capital letters",
        "digits": "write numbers as words",
        "brackets": "remove them from the texts",
        "signs": "remove them from the texts",
        "invisible": "remove them from the texts",
    }
    return advice.get(kind)


def _examples(characters: Counter[str]) -> str:
    names = [c if c.isprintable() else f"U+{ord(c[0]):04X}" for c, _ in characters.most_common(NUM_SHOWN_BY_KIND)]
    return " ".join(names) + (" ..." if len(characters) > NUM_SHOWN_BY_KIND else "")
