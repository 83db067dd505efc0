"""Groups of utterances that must share a split: the same stretch, recording, bytes, text or speaker."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from eartune.manifest import Utterance
from eartune.manifest.folding import fold

Key = Callable[[Utterance], Hashable]

# In a closed vocabulary each text occurs at least MIN_REPEATS times on average, and either there are fewer than
# FEW_TEXTS texts, or they are commands: of at most SHORT_TEXT_WORDS words on average, and more than OWN_WORDS_SHARE of
# the words occur in one text only.
MIN_REPEATS = 3
FEW_TEXTS = 20
SHORT_TEXT_WORDS = 3
OWN_WORDS_SHARE = 0.5
_BLOCK_BYTES = 1 << 16


def text_of(utterance: Utterance) -> Hashable:
    """Return the text without case and punctuation; None for an empty one, which may be in two splits."""
    return ("text", fold(utterance.text)) if utterance.text else None


def speaker_of(utterance: Utterance) -> Hashable:
    return None if utterance.speaker is None else ("speaker", utterance.speaker)


def recording_of(contents: Mapping[Path, str]) -> Key:
    """Return a key of the recording: the hash of its bytes if another file has the same, else its path."""
    return lambda utterance: ("recording", contents.get(utterance.audio, str(utterance.audio)))


def clip_of(utterances: Sequence[Utterance], contents: Mapping[Path, str]) -> Key:
    """Return a key that is equal for overlapping stretches of one recording."""
    by_recording: defaultdict[Hashable, list[Utterance]] = defaultdict(list)
    key = recording_of(contents)
    for utterance in utterances:
        by_recording[key(utterance)].append(utterance)
    numbers: dict[tuple[Hashable, float], int] = {}
    for recording, cuts in by_recording.items():
        cuts.sort(key=lambda cut: cut.offset_s)
        number, end_s = 0, 0.0
        numbers[recording, cuts[0].offset_s] = number
        for before, cut in pairwise(cuts):
            end_s = max(end_s, before.offset_s + before.duration_s)
            # rounded times may make adjacent stretches overlap slightly
            number += cut.offset_s > end_s - 0.05 and cut.offset_s != before.offset_s
            numbers[recording, cut.offset_s] = number
    return lambda utterance: ("clip", key(utterance), numbers[key(utterance), utterance.offset_s])


def same_contents(recordings: Iterable[Path]) -> dict[Path, str]:
    """Return a hash of each recording that has the size of another; recordings of a unique size have no duplicate.

    Of long files, parts at the start, middle and end are hashed, so that a large corpus takes seconds.
    """
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for recording in dict.fromkeys(recordings):
        if recording.is_file():
            by_size[recording.stat().st_size].append(recording)
    return {path: _digest(path) for same_size in by_size.values() if len(same_size) > 1 for path in same_size}


def _digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        for position in (0, max(0, size // 2 - _BLOCK_BYTES // 2), max(0, size - _BLOCK_BYTES)):
            file.seek(position)
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def is_closed_vocabulary(utterances: Sequence[Utterance]) -> bool:
    """Return whether a corpus repeats a list of words or commands, in which each new text is a new word.

    Splits must then share texts, as a model would otherwise be tested on words it was never trained on.
    """
    counts = Counter(fold(utterance.text) for utterance in utterances if utterance.text)
    if not counts or counts.total() < MIN_REPEATS * len(counts):
        return False
    words = {fold(u.text): {fold(word) for word in u.text.split()} for u in utterances if u.text}
    in_texts = Counter(word for found in words.values() for word in found)
    num_words = sum(map(len, words.values()))
    own = sum(in_texts[word] == 1 for found in words.values() for word in found)
    are_commands = num_words <= SHORT_TEXT_WORDS * len(words) and own > OWN_WORDS_SHARE * num_words
    return len(counts) < FEW_TEXTS or are_commands


def differing_texts(utterances: Sequence[Utterance]) -> list[str]:
    """Return a note on stretches that several rows have with different texts, of which at most one is right."""
    contents = same_contents(utterance.audio for utterance in utterances)
    recording = recording_of(contents)
    rows: defaultdict[Hashable, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        rows[recording(utterance), utterance.offset_s, utterance.duration_s, utterance.channel].append(utterance)
    differing = [same for same in rows.values() if len({fold(utterance.text) for utterance in same}) > 1]
    if not differing:
        return []
    first = " and ".join(utterance.source for utterance in differing[0][:2])
    return [f"{len(differing)} recordings are in several rows with different texts, the first: {first}"]
