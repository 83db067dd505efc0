"""Checks of speech and its text for every model; prepare, train and evaluate report them in the same words."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile

from eartune.audio import Loudness, decode_stretches
from eartune.errors import InputError
from eartune.manifest import Utterance

# Nobody speaks faster. The fastest readers reach 25 letters or 9 syllables per second.
MAX_LETTERS_PER_S = 40.0
MAX_SYLLABLES_PER_S = 20.0
# Tolerance for a clip that is too short: a single word with tight cuts.
SLACK_S = 0.05
# If a long clip is slower than this, something is missing from its text.
MIN_LETTERS_PER_S = 0.5
SLOW_FROM_S = 20.0

# -80 dBFS: three steps of 16 bits, lower than any recorded speech
SILENT_RMS = 1e-4
# -60 dBFS: below the noise of any microphone
QUIET_RMS = 0.001
CLIPPED_SHARE = 0.001
# of full scale
MAX_OFFSET = 0.05

# Decoding this much takes about half a minute; of more, a sample is measured.
MEASURED_S = 5 * 3600.0
MEASURED_FILES = 20_000
# Also the number of decoded stretches in memory.
NUM_THREADS = 4

# In these, decoding starts at the beginning of the file for each cut.
_NO_SEEK_SUFFIXES = frozenset({".ogg", ".oga", ".aac"})
MANY_CUTS = 20

QUIET = "silent, or nearly (below -60 dB)"
CLIPPED = "clipped (samples at full scale)"

_SYLLABLES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "YI ", "ETHIOPIC")


def text_finding(utterance: Utterance) -> str | None:
    """Return a finding if a text would have to be spoken faster than anyone speaks."""
    min_s = shortest_s(utterance.text)
    if min_s <= utterance.duration_s + SLACK_S:
        return None
    num_letters = sum(_counts(letter) for letter in utterance.text)
    return (
        f"{num_letters} letters in {utterance.duration_s:.2f} s are faster than anyone speaks (they take at least "
        f"{min_s:.1f} s); is the clip cut short, or the text that of another clip?"
    )


def shortest_s(text: str) -> float:
    """Return the shortest possible duration of a text: letters and digits count, punctuation does not."""
    return sum(
        1 / (MAX_SYLLABLES_PER_S if _is_syllable(letter) else MAX_LETTERS_PER_S) for letter in text if _counts(letter)
    )


def sound_finding(utterance: Utterance, loudness: Loudness) -> str | None:
    """Return a finding if a clip with a text is silent."""
    if not utterance.text or loudness.sound_rms >= SILENT_RMS:
        return None
    what = (
        f"has the same value in all samples ({loudness.mean:g})"
        if loudness.sound_rms == 0 and loudness.mean
        else "is silent"
    )
    return (
        f"{utterance.audio.name} {what} (its largest sample is {loudness.peak:g} of full scale), but has a text; "
        "was it written in another scale? A clip without speech has an empty text"
    )


def is_quiet(utterance: Utterance, loudness: Loudness) -> bool:
    """Return whether a clip with a text is not louder than the noise of a microphone."""
    return bool(utterance.text) and loudness.sound_rms < QUIET_RMS


def is_clipped(loudness: Loudness) -> bool:
    """Return whether more than 16 samples per second of 16 kHz are at full scale."""
    return loudness.clipped > CLIPPED_SHARE


def level_remarks(utterances: Sequence[Utterance], loudness: Sequence[Loudness | None]) -> list[str]:
    """Return remarks on the numbers of quiet and clipped clips, which an audit lists; None: not measured."""
    measured = _measured(utterances, loudness)
    quiet = [u for u, m in measured if is_quiet(u, m)]
    clipped = [u for u, m in measured if is_clipped(m)]
    return _counted([(quiet, f"are {QUIET}"), (clipped, f"are {CLIPPED}")], len(utterances))


def remarks(utterances: Sequence[Utterance], loudness: Sequence[Loudness | None]) -> list[str]:
    """Return remarks on other clips that are odd but possible, one of each kind with a count and the first source.

    `loudness` is that of each utterance, None where it was not measured.
    """
    measured = _measured(utterances, loudness)
    slow = [u for u in utterances if u.text and u.duration_s > SLOW_FROM_S and _is_slow(u)]
    shifted = [u for u, m in measured if abs(m.mean) > MAX_OFFSET]
    voices = [u for u, m in measured if m.different_voices]
    kinds = [
        (slow, "are far longer than their text: is some of it missing? Complete the text, or trim the silence"),
        (shifted, "have a constant offset of more than 5 % of full scale, as of a faulty recorder; it does no harm"),
        (voices, "have two channels that seem to hold different voices, and are mixed; name one in the column channel"),
    ]
    return _counted(kinds, len(utterances))


def _measured(utterances: Sequence[Utterance], loudness: Sequence[Loudness | None]) -> list[tuple[Utterance, Loudness]]:
    return [(u, m) for u, m in zip(utterances, loudness, strict=True) if m is not None]


def _counted(kinds: Sequence[tuple[Sequence[Utterance], str]], total: int) -> list[str]:
    return [f"{len(found)} of {total} clips {what}; the first: {found[0].source}" for found, what in kinds if found]


def cuts_remark(utterances: Sequence[Utterance]) -> list[str]:
    """Return a remark on long recordings that are decoded from the beginning for each of many cuts."""
    cuts: dict[Path, int] = {}
    for utterance in utterances:
        if utterance.is_cut and utterance.audio.suffix.lower() in _NO_SEEK_SUFFIXES:
            cuts[utterance.audio] = cuts.get(utterance.audio, 0) + 1
    many = {path: count for path, count in cuts.items() if count >= MANY_CUTS}
    if not many:
        return []
    first = next(iter(many))
    return [
        f"{sum(many.values())} rows are cuts of {len(many)} recordings (the first: {first.name}) that are decoded from "
        "the beginning for each cut, in each epoch; eartune prepare cuts them once"
    ]


@dataclass(frozen=True)
class Measurements:
    """The loudness of each utterance, None if it was not measured, and the finding that forbids its use, if any."""

    loudness: tuple[Loudness | None, ...]
    findings: tuple[str | None, ...]
    num_measured: int


def measure_utterances(
    utterances: Sequence[Utterance],
    *,
    limit_s: float = MEASURED_S,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Measurements:
    """Decode utterances and measure them: all, or a random sample if together they are longer than `limit_s`.

    Measurements stored by eartune prepare are read from its files at no cost. Calls `progress(done)`.
    """
    order = list(range(len(utterances)))
    random.Random(seed).shuffle(order)
    chosen: list[int] = []
    remaining_s = limit_s
    known: dict[int, Loudness] = {}
    for index in order[:MEASURED_FILES]:
        utterance = utterances[index]
        stored = None if utterance.is_cut else stored_loudness(utterance.audio)
        if stored is not None:
            known[index] = stored
        elif remaining_s > 0:
            chosen.append(index)
            remaining_s -= utterance.duration_s
    loudness: list[Loudness | None] = [known.get(index) for index in range(len(utterances))]
    findings: list[str | None] = [None] * len(utterances)
    groups = _by_recording(utterances, chosen)
    # decoders release the interpreter's lock
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        done = 0
        for group, results in zip(groups, pool.map(lambda g: _measure(utterances, g), groups), strict=True):
            for index, result in zip(group, results, strict=True):
                if isinstance(result, Loudness):
                    loudness[index] = result
                else:
                    findings[index] = result
            done += len(group)
            if progress is not None:
                progress(done)
    if progress is not None:
        progress(len(utterances))
    for index, measured in enumerate(loudness):
        if measured is not None:
            findings[index] = sound_finding(utterances[index], measured)
    return Measurements(tuple(loudness), tuple(findings), len(known) + len(chosen))


def stored_loudness(path: Path) -> Loudness | None:
    """Return the loudness that eartune prepare stored in a file, None for any other file."""
    if path.suffix != ".flac":
        return None
    try:
        with soundfile.SoundFile(path) as sound:
            return Loudness.from_comment(sound.comment)
    except (soundfile.LibsndfileError, OSError):
        return None


def _by_recording(utterances: Sequence[Utterance], chosen: Iterable[int]) -> list[list[int]]:
    """Group the cuts of each recording, sorted by their start."""
    groups: dict[tuple[Path, int | None], list[int]] = {}
    for index in chosen:
        groups.setdefault((utterances[index].audio, utterances[index].channel), []).append(index)
    return [sorted(group, key=lambda index: utterances[index].offset_s) for group in groups.values()]


def _measure(utterances: Sequence[Utterance], group: Sequence[int]) -> list[Loudness | str]:
    stretches = [(utterances[i].offset_s, utterances[i].duration_s if utterances[i].is_cut else None) for i in group]
    first = utterances[group[0]]
    results: list[Loudness | str] = []
    while len(results) < len(group):
        try:
            for decoded in decode_stretches(first.audio, stretches[len(results) :], channel=first.channel):
                results.append(decoded.loudness)
        except InputError as error:
            results.append(str(error))
    return results


def _is_slow(utterance: Utterance) -> bool:
    return shortest_s(utterance.text) * MAX_LETTERS_PER_S < MIN_LETTERS_PER_S * utterance.duration_s


def _counts(letter: str) -> bool:
    return letter.isalpha() or letter.isdigit()


def _is_syllable(letter: str) -> bool:
    return letter > "\u10ff" and unicodedata.name(letter, "").startswith(_SYLLABLES)
