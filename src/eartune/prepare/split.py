"""Train, val and test, such that no text and, where it can be had, no speaker is in two of them."""

from __future__ import annotations

import math
import random
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from eartune.errors import InputError, raise_findings
from eartune.manifest import Utterance
from eartune.prepare.table import SPLITS, SplitName, split_named

# Fewer cannot be dealt to three splits in anything like the wanted shares.
MIN_SPEAKERS = 5

# A split may hold so much more or less of the audio than was asked for: 0.15 is 15 percentage points.
MAX_OFF = 0.15

# Random deals of which the one nearest to the wanted shares is taken.
NUM_DEALS = 20
CLOSE_ENOUGH = 0.005


@dataclass(frozen=True)
class Split:
    """Utterances in the order they came in, and what a user should know of how they were split."""

    utterances: Mapping[SplitName, tuple[Utterance, ...]]
    notes: tuple[str, ...]


def split_utterances(
    utterances: Sequence[Utterance], *, shares: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0
) -> Split:
    """Split by shares of the audio for train, val and test; the same for the same seed, in whatever order they come.

    The same text, whatever its case and punctuation, is in one split only; so is the same speaker where at least 5 are
    known, unless that leaves a split empty or off by more than 15 percentage points, which a note then says. A split
    that the source gives (`extra["split"]`) is kept, and one that it lacks is cut from its train.
    """
    check_shares(shares)
    wanted = dict(zip(SPLITS, shares, strict=True))
    given = _given_splits(utterances)
    if given is None:
        names, notes = _deal(utterances, wanted, seed)
    else:
        names, notes = _complete(utterances, given, wanted, seed)
    parts = {split: tuple(u for u, name in zip(utterances, names, strict=True) if name == split) for split in SPLITS}
    return Split(parts, (*notes, *_shared_text_notes(parts)))


def check_shares(shares: tuple[float, float, float]) -> None:
    """Raise InputError where shares of train, val and test do not make one whole, or leave nothing to train on."""
    if any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6 or shares[0] == 0:
        raise InputError(
            f"splits {shares}: give the shares of train, val and test, such as 0.8, 0.1, 0.1; their sum is 1"
        )


def fold(text: str) -> str:
    """Return a text without case, punctuation, spaces and the dots of ё: what makes two texts the same."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING)
    return folded or text


class _Folding(dict[int, str]):
    def __missing__(self, code: int) -> str:
        kept = "" if unicodedata.category(chr(code))[0] in "PSZC" else chr(code)
        self[code] = kept
        return kept


_FOLDING = _Folding({ord("ё"): "е"})


def _given_splits(utterances: Sequence[Utterance]) -> list[SplitName] | None:
    """Return the splits of the source; None where it names none or the same for all."""
    names = [utterance.extra.get("split") for utterance in utterances]
    splits = [None if name is None else split_named(str(name)) for name in names]
    if len({*names}) < 2:
        return None
    raise_findings(
        [
            f"{utterance.source}: {'no split is named' if name is None else f'split {name!r} is not known'}"
            for utterance, name, split in zip(utterances, names, splits, strict=True)
            if split is None
        ],
        summary="Some utterances name their split, and these do not:",
        advice="Name train, val or test for all of them, or for none.",
    )
    return [split for split in splits if split is not None]


def _complete(
    utterances: Sequence[Utterance], given: list[SplitName], wanted: Mapping[SplitName, float], seed: int
) -> tuple[list[SplitName], list[str]]:
    """Keep the splits of the source, and cut those it lacks from its train."""
    notes = ["the splits of the source are kept"]
    missing = [split for split in SPLITS if split not in given and wanted[split] > 0]
    if not missing or "train" in missing:
        return given, notes
    places = [place for place, split in enumerate(given) if split == "train"]
    rest = {split: wanted[split] if split == "train" or split in missing else 0.0 for split in SPLITS}
    total = sum(rest.values())
    dealt, more = _deal(
        [utterances[place] for place in places], {split: share / total for split, share in rest.items()}, seed
    )
    completed = list(given)
    for place, split in zip(places, dealt, strict=True):
        completed[place] = split
    return completed, [*notes, f"the source has no {' and no '.join(missing)}: cut from its train", *more]


def _deal(
    utterances: Sequence[Utterance], wanted: Mapping[SplitName, float], seed: int
) -> tuple[list[SplitName], list[str]]:
    speakers = {utterance.speaker for utterance in utterances} - {None}
    notes = []
    if len(speakers) >= MIN_SPEAKERS:
        names = _deal_groups(utterances, [_text_of, _speaker_of], wanted, seed)
        if _off(utterances, names, wanted) <= MAX_OFF and not _empty(names, wanted):
            return names, [f"no speaker and no text is in two splits ({len(speakers)} speakers)"]
        notes = [
            f"the {len(speakers)} speakers cannot be kept apart (one speaks too much, or they speak the same texts): "
            "splits share speakers, not texts"
        ]
    elif speakers:
        notes = [f"too few speakers to keep them apart ({len(speakers)}): splits share speakers, not texts"]
    names = _deal_groups(utterances, [_text_of], wanted, seed)
    notes = notes or ["no text is in two splits; speakers are not known"]
    if empty := _empty(names, wanted):
        notes.append(f"{' and '.join(empty)} would be empty: there are too few different texts to split")
    elif (off := _off(utterances, names, wanted)) > MAX_OFF:
        notes.append(f"the splits are off by up to {100 * off:.0f} percentage points: few texts make up the corpus")
    return names, notes


def _text_of(utterance: Utterance) -> Hashable:
    return "text", fold(utterance.text)


def _speaker_of(utterance: Utterance) -> Hashable:
    return None if utterance.speaker is None else ("speaker", utterance.speaker)


def _deal_groups(
    utterances: Sequence[Utterance],
    keys: Sequence[Callable[[Utterance], Hashable]],
    wanted: Mapping[SplitName, float],
    seed: int,
) -> list[SplitName]:
    """Deal groups that share a key to the splits, in random order, each to the split that lacks most of its share."""
    groups = _groups(utterances, keys)
    seconds = [sum(utterances[place].duration_s for place in group) for group in groups]
    random_order = random.Random(seed)
    best: list[SplitName] = []
    best_off = float("inf")
    for _ in range(NUM_DEALS):
        order = list(range(len(groups)))
        random_order.shuffle(order)
        dealt = _deal_once(order, seconds, wanted)
        names: list[SplitName] = ["train"] * len(utterances)
        for group, split in zip(groups, dealt, strict=True):
            for place in group:
                names[place] = split
        off = _off(utterances, names, wanted) + len(_empty(names, wanted))
        if off < best_off:
            best, best_off = names, off
        if off <= CLOSE_ENOUGH:
            break
    return best


def _deal_once(order: Iterable[int], seconds: Sequence[float], wanted: Mapping[SplitName, float]) -> list[SplitName]:
    total = sum(seconds)
    lacking = {split: share * total for split, share in wanted.items() if share > 0}
    dealt: list[SplitName] = ["train"] * len(seconds)
    for group in order:
        split = max(lacking, key=lambda split: lacking[split] / wanted[split])
        dealt[group] = split
        lacking[split] -= seconds[group]
    return dealt


def _groups(utterances: Sequence[Utterance], keys: Sequence[Callable[[Utterance], Hashable]]) -> list[list[int]]:
    """Return the places of utterances that share a key, directly or over others; their order changes nothing."""
    parent = list(range(len(utterances)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = place = parent[parent[place]]
        return place

    order = sorted(parent, key=lambda place: _identity(utterances[place]))
    first: dict[Hashable, int] = {}
    for place in order:
        for key in [key(utterances[place]) for key in keys]:
            if key is not None:
                parent[root(place)] = root(first.setdefault(key, place))
    groups: dict[int, list[int]] = {}
    for place in order:
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _identity(utterance: Utterance) -> tuple[str, float, str]:
    return utterance.audio.as_posix(), utterance.offset_s, utterance.text


def _off(utterances: Sequence[Utterance], names: Sequence[SplitName], wanted: Mapping[SplitName, float]) -> float:
    # fsum: the same whatever the order
    seconds = {
        split: math.fsum(u.duration_s for u, name in zip(utterances, names, strict=True) if name == split)
        for split in SPLITS
    }
    total = sum(seconds.values()) or 1.0
    return max(abs(seconds[split] / total - wanted[split]) for split in SPLITS)


def _empty(names: Sequence[SplitName], wanted: Mapping[SplitName, float]) -> list[SplitName]:
    return [split for split in SPLITS if wanted[split] > 0 and split not in names]


def _shared_text_notes(parts: Mapping[SplitName, tuple[Utterance, ...]]) -> list[str]:
    texts = {split: {fold(utterance.text) for utterance in part} for split, part in parts.items()}
    return [
        f"{len(shared)} texts of {split} are also in train: scores on {split} will flatter"
        for split in ("val", "test")
        if (shared := texts["train"] & texts[split])
    ]
