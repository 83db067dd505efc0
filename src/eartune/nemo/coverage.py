"""How a tokenizer fits the texts that a model is to learn: measured before training, refused where it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from eartune.errors import InputError
from eartune.manifest import Utterance
from eartune.nemo.tokenizer import normalise
from eartune.nemo.tokenizer_pipeline import SPACE

# of the letters and signs, how many the tokenizer may lack: beyond it the model is for another language
MOST_UNKNOWN = 0.02
NUM_SHOWN = 20


@dataclass(frozen=True)
class Coverage:
    """Counts over texts: characters without white space, those that no token stands for, tokens, seconds of speech."""

    characters: int
    unknown: Counter[str]
    tokens: int
    seconds: float

    @property
    def unknown_rate(self) -> float:
        return self.unknown.total() / max(1, self.characters)

    def __str__(self) -> str:
        told = f"tokenizer: {self.tokens / max(self.seconds, 1e-9):.1f} tokens a second of speech"
        if not self.unknown:
            return f"{told}, every character known"
        shown = " ".join(character for character, _ in self.unknown.most_common(NUM_SHOWN))
        return f"{told}, {100 * self.unknown_rate:.2g} % of the characters unknown: {shown}"


def measure(tokenizer: PreTrainedTokenizerBase, utterances: Sequence[Utterance]) -> Coverage:
    """Count what a tokenizer makes of the texts."""
    counts = characters_of(tokenizer, (u.text for u in utterances))
    tokens = list(tokenizer([u.text for u in utterances], add_special_tokens=False).input_ids) if utterances else []
    return Coverage(
        characters=counts.total(),
        unknown=Counter({c: counts[c] for c in unknown_characters(tokenizer, counts)}),
        tokens=sum(map(len, tokens)),
        seconds=sum(u.duration_s for u in utterances),
    )


def characters_of(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Counter[str]:
    """Count characters without white space, as the tokenizer normalises them."""
    return Counter(c for text in texts for c in normalise(tokenizer, text) if not c.isspace() and c != SPACE)


def unknown_characters(tokenizer: PreTrainedTokenizerBase, characters: Sequence[str] | Counter[str]) -> list[str]:
    """Return the characters that the tokenizer has no token for, in their order."""
    if tokenizer.unk_token_id is None or not characters:
        return []
    tokens = tokenizer(list(characters), add_special_tokens=False).input_ids
    return [c for c, found in zip(characters, tokens, strict=True) if tokenizer.unk_token_id in found]


def unknown_finding(tokenizer: PreTrainedTokenizerBase, utterance: Utterance, *, advice: str = "") -> str:
    """Say of an utterance with unknown characters which they are; `advice` says what to do."""
    characters = "".join(unknown_characters(tokenizer, sorted(characters_of(tokenizer, [utterance.text]))))
    return f"text {utterance.text[:60]!r} has characters that the model has no token for: {characters[:40]!r}{advice}"


def require_covered(
    tokenizer: PreTrainedTokenizerBase, utterances: Sequence[Utterance], *, advice: str = ""
) -> Coverage:
    """Measure, and raise InputError where the tokenizer is of another language or script; `advice` ends its message."""
    coverage = measure(tokenizer, utterances)
    if coverage.unknown_rate > MOST_UNKNOWN:
        shown = " ".join(character for character, _ in coverage.unknown.most_common(NUM_SHOWN))
        raise InputError(
            f"the model's tokenizer has no token for {100 * coverage.unknown_rate:.0f} % of the characters of the "
            f"texts ({len(coverage.unknown)} different ones: {shown}), so it cannot learn to write them: take a model "
            f"of this language, such as a multilingual one{advice}"
        )
    return coverage
