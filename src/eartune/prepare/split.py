"""Split into train, val and test that share no text and, if possible, no recording and no speaker."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from eartune.errors import InputError, raise_findings, shown
from eartune.manifest import Utterance
from eartune.manifest.folding import fold
from eartune.prepare.groups import (
    Key,
    clip_of,
    differing_texts,
    is_closed_vocabulary,
    recording_of,
    same_contents,
    speaker_of,
    text_of,
)
from eartune.prepare.table import SPLITS, SplitName, split_named

# Fewer cannot be assigned to three splits in shares near the requested ones.
MIN_SPEAKERS = 5

# Largest deviation of a split's share of the audio from the requested one: 0.15 is 15 percentage points.
MAX_DEVIATION = 0.15

# Number of random assignments, of which the one nearest to the requested shares is used.
NUM_ATTEMPTS = 20
CLOSE_ENOUGH = 0.005


@dataclass(frozen=True)
class Split:
    """Utterances in input order, and notes on how they were split."""

    utterances: Mapping[SplitName, tuple[Utterance, ...]]
    notes: tuple[str, ...]


def split_utterances(
    utterances: Sequence[Utterance], *, shares: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0
) -> Split:
    """Split by shares of the audio for train, val and test. Equal for equal seeds, independent of the input order.

    The same stretch of a recording, by its bytes, is in one split only. So is the same text, ignoring case and
    punctuation, except in a closed vocabulary. So are the same recording and, if at least 5 are known, the same
    speaker, unless a split would be empty or off by more than 15 percentage points; a note reports it. Splits of the
    source (`extra["split"]`) are kept, and missing ones are cut from its train.
    """
    check_shares(shares)
    wanted = dict(zip(SPLITS, shares, strict=True))
    given = _given_splits(utterances)
    if given is None:
        names, notes = _assign(utterances, wanted, seed)
    else:
        names, notes = _complete(utterances, given, wanted, seed)
    parts = {split: tuple(u for u, name in zip(utterances, names, strict=True) if name == split) for split in SPLITS}
    return Split(parts, (*notes, *leak_notes(parts), *differing_texts(utterances)))


def check_shares(shares: tuple[float, float, float]) -> None:
    """Raise InputError if the shares of train, val and test do not sum to 1, or that of train is 0."""
    if any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6 or shares[0] == 0:
        raise InputError(
            f"splits {shares}: give the shares of train, val and test, such as 0.8, 0.1, 0.1; their sum is 1"
        )


def _given_splits(utterances: Sequence[Utterance]) -> list[SplitName] | None:
    """Return the splits of the source; None if it has none or the same for all."""
    names = [utterance.extra.get("split") for utterance in utterances]
    raise_findings(
        [
            f"{utterance.source}: split is {shown(name)}, not the name of a split"
            for utterance, name in zip(utterances, names, strict=True)
            if isinstance(name, list | dict)
        ],
        advice="Name train, val or test for all of them, or for none.",
    )
    splits = [None if name is None else split_named(str(name)) for name in names]
    if len({*names}) < 2:
        return None
    raise_findings(
        [
            f"{utterance.source}: {'no split is named' if name is None else f'split {shown(name)} is not known'}"
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
    """Keep the splits of the source, and cut missing ones from its train."""
    notes = ["the splits of the source are kept"]
    missing = [split for split in SPLITS if split not in given and wanted[split] > 0]
    if not missing or "train" in missing:
        return given, notes
    indices = [index for index, split in enumerate(given) if split == "train"]
    rest = {split: wanted[split] if split == "train" or split in missing else 0.0 for split in SPLITS}
    total = sum(rest.values())
    assigned, more = _assign(
        [utterances[index] for index in indices], {split: share / total for split, share in rest.items()}, seed
    )
    completed = list(given)
    for index, split in zip(indices, assigned, strict=True):
        completed[index] = split
    return completed, [*notes, f"the source has no {' and no '.join(missing)}: cut from its train", *more]


def _assign(
    utterances: Sequence[Utterance], wanted: Mapping[SplitName, float], seed: int
) -> tuple[list[SplitName], list[str]]:
    """Assign a split to each utterance: disjoint in speakers, recordings and texts if possible, else in fewer of them.

    Texts and overlapping stretches are always disjoint; texts of a closed vocabulary are in all splits, as test texts
    would otherwise be words never trained on.
    """
    contents = same_contents(utterance.audio for utterance in utterances)
    clip, recording = clip_of(utterances, contents), recording_of(contents)
    closed = is_closed_vocabulary(utterances)
    always = [clip] if closed else [clip, text_of]
    speakers = len({utterance.speaker for utterance in utterances} - {None})
    recordings, clips = len({recording(u) for u in utterances}), len({clip(u) for u in utterances})
    attempts: list[tuple[Sequence[Key], str]] = []
    if speakers >= MIN_SPEAKERS:
        attempts.append(([*always, recording, speaker_of], "speaker"))
    if recordings < clips:
        attempts.append(([*always, recording], "recording"))
    attempts.append((always, "clip"))
    level, names = "", []
    for keys, level in attempts:  # noqa: B007  used below: the first level that is good enough, or the last
        names = _assign_groups(utterances, keys, wanted, seed)
        if _deviation(utterances, names, wanted) <= MAX_DEVIATION and not _empty(names, wanted):
            break
    notes = _closed_notes(utterances) if closed else []
    if level == "speaker":
        return names, [*notes, f"no speaker{'' if closed else ' and no text'} is in two splits ({speakers} speakers)"]
    notes += [_speaker_note(speakers, closed=closed)]
    if level == "recording":
        notes.append(f"no recording is in two splits ({recordings} recordings)")
    if level == "clip" and recordings < clips:
        notes.append(
            f"the {recordings} recordings cannot be kept apart: splits share recordings, not the same stretches of them"
        )
    if empty := _empty(names, wanted):
        notes.append(f"{' and '.join(empty)} would be empty: there are too few different texts to split")
    elif (deviation := _deviation(utterances, names, wanted)) > MAX_DEVIATION:
        notes.append(
            f"the splits are off by up to {100 * deviation:.0f} percentage points: few texts make up the corpus"
        )
    return names, notes


def _closed_notes(utterances: Sequence[Utterance]) -> list[str]:
    texts = len({fold(utterance.text) for utterance in utterances if utterance.text})
    return [f"closed vocabulary, {texts} different texts in {len(utterances)} rows: they are in all splits"]


def _speaker_note(speakers: int, *, closed: bool) -> str:
    if speakers >= MIN_SPEAKERS:
        why = "one has too much speech" if closed else "one has too much speech, or they share texts"
        return f"the {speakers} speakers cannot be kept apart ({why}): {_shares(closed)}"
    if speakers:
        return f"too few speakers to keep them apart ({speakers}): {_shares(closed)}"
    return f"{'split by clip' if closed else 'no text is in two splits'}; speakers are not known"


def _shares(closed: bool) -> str:
    return "splits share speakers" if closed else "splits share speakers, not texts"


def _assign_groups(
    utterances: Sequence[Utterance],
    keys: Sequence[Key],
    wanted: Mapping[SplitName, float],
    seed: int,
) -> list[SplitName]:
    """Assign groups that share a key to splits, in random order, each to the split that is furthest below its share."""
    groups = _groups(utterances, keys)
    seconds = [sum(utterances[index].duration_s for index in group) for group in groups]
    random_order = random.Random(seed)
    best: list[SplitName] = []
    best_deviation = float("inf")
    for _ in range(NUM_ATTEMPTS):
        order = list(range(len(groups)))
        random_order.shuffle(order)
        assigned = _assign_in_order(order, seconds, wanted)
        names: list[SplitName] = ["train"] * len(utterances)
        for group, split in zip(groups, assigned, strict=True):
            for index in group:
                names[index] = split
        deviation = _deviation(utterances, names, wanted) + len(_empty(names, wanted))
        if deviation < best_deviation:
            best, best_deviation = names, deviation
        if deviation <= CLOSE_ENOUGH:
            break
    return best


def _assign_in_order(
    order: Iterable[int], seconds: Sequence[float], wanted: Mapping[SplitName, float]
) -> list[SplitName]:
    total = sum(seconds)
    missing_s = {split: share * total for split, share in wanted.items() if share > 0}
    assigned: list[SplitName] = ["train"] * len(seconds)
    for group in order:
        split = max(missing_s, key=lambda split: missing_s[split] / wanted[split])
        assigned[group] = split
        missing_s[split] -= seconds[group]
    return assigned


def _groups(utterances: Sequence[Utterance], keys: Sequence[Key]) -> list[list[int]]:
    """Return the indices of utterances connected by shared keys, as groups; independent of the input order."""
    parent = list(range(len(utterances)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    order = sorted(parent, key=lambda index: _identity(utterances[index]))
    first: dict[Hashable, int] = {}
    for index in order:
        for key in [key(utterances[index]) for key in keys]:
            if key is not None:
                parent[root(index)] = root(first.setdefault(key, index))
    groups: dict[int, list[int]] = {}
    for index in order:
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _identity(utterance: Utterance) -> tuple[str, float, str]:
    return utterance.audio.as_posix(), utterance.offset_s, utterance.text


def _deviation(utterances: Sequence[Utterance], names: Sequence[SplitName], wanted: Mapping[SplitName, float]) -> float:
    # fsum is independent of the order
    seconds = {
        split: math.fsum(u.duration_s for u, name in zip(utterances, names, strict=True) if name == split)
        for split in SPLITS
    }
    total = sum(seconds.values()) or 1.0
    return max(abs(seconds[split] / total - wanted[split]) for split in SPLITS)


def _empty(names: Sequence[SplitName], wanted: Mapping[SplitName, float]) -> list[SplitName]:
    return [split for split in SPLITS if wanted[split] > 0 and split not in names]


def leak_notes(parts: Mapping[SplitName, Sequence[Utterance]]) -> list[str]:
    """Return notes on stretches and texts of val and test that are also in train."""
    every = [utterance for part in parts.values() for utterance in part]
    contents = same_contents(utterance.audio for utterance in every)
    leaks: list[tuple[str, Key]] = [("stretches of recordings", clip_of(every, contents))]
    if not is_closed_vocabulary(every):
        leaks.append(("texts", text_of))
    return [
        f"{len(shared)} {what} of {split} are also in train: scores on {split} will be too good"
        for what, key in leaks
        for split in SPLITS[1:]
        if split in parts
        if (shared := ({key(u) for u in parts["train"]} & {key(u) for u in parts[split]}) - {None})
    ]
