"""Recordings -> 16 kHz mono FLAC, and how loud each is.

A converted file is named after its source and a hash of what was cut from which version of it, and carries its
measurements as a comment. So a file that stands is right: a later run takes it over, and two folders may hold the
same names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from eartune.audio import SAMPLE_RATE_HZ, Samples, decode
from eartune.errors import InputError
from eartune.files import clear_leftovers, new_file
from eartune.manifest import Utterance

FULL_SCALE = 0.999

_CONVERTED_NAME = re.compile(r".*-[0-9a-f]{12}\.flac")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Loudness:
    """Of one utterance, where 1 is full scale: the largest sample, the root mean square, the share at full scale."""

    peak: float
    rms: float
    clipped: float


@dataclass(frozen=True)
class Measured:
    """An utterance, now perhaps in a file of its own, and how loud it is."""

    utterance: Utterance
    loudness: Loudness


def convert_utterances(
    utterances: Sequence[Utterance], folder: Path | None, *, base: Path, progress: Progress | None = None
) -> list[Measured | str]:
    """Cut each utterance into a FLAC file of its own in `folder`; None: decode and measure only.

    Returns utterances and findings in the order they came. `base` is the folder that names in hashes begin at.
    Calls `progress(done, total)`. Raises InputError where `folder` cannot be written.
    """
    if folder is not None:
        clear_leftovers(folder)
    targets = [None if folder is None else folder / _converted_name(u, base) for u in utterances]
    # FLAC, the resampler and the decoders all work outside the interpreter's lock
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # rows that repeat another share its file, which must not be written twice at once
        jobs: dict[Path | int, Future[Measured | str]] = {}
        futures = []
        for number, (utterance, target) in enumerate(zip(utterances, targets, strict=True)):
            key = number if target is None else target
            if key not in jobs:
                jobs[key] = pool.submit(_convert, utterance, target)
            futures.append(jobs[key])
        results: list[Measured | str] = []
        try:
            for utterance, future in zip(utterances, futures, strict=True):
                results.append(_as_row(utterance, future.result()))
                if progress is not None:
                    progress(len(results), len(utterances))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def remove_unused(folder: Path, used: set[Path]) -> None:
    """Remove converted files that no utterance uses any more, and nothing else."""
    for path in folder.iterdir():
        if path not in used and _CONVERTED_NAME.fullmatch(path.name):
            path.unlink()


def measure(samples: Samples) -> Loudness:
    """Return how loud samples are, rounded to what a report needs."""
    loud = np.abs(samples)
    return Loudness(
        peak=round(float(loud.max()), 5),
        rms=round(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))), 7),
        clipped=round(float(np.mean(loud >= FULL_SCALE)), 6),
    )


def _converted_name(utterance: Utterance, base: Path) -> str:
    stat = utterance.audio.stat()
    try:
        place = Path(os.path.relpath(utterance.audio, base)).as_posix()
    except ValueError:  # another drive
        place = utterance.audio.as_posix()
    stretch = [utterance.offset_s, utterance.duration_s] if utterance.is_cut else None
    identity = json.dumps([place, stat.st_size, stat.st_mtime_ns, stretch, utterance.channel])
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    # what other systems allow in a name
    stem = re.sub(r"[^\w.-]+", "_", utterance.audio.stem)[:60]
    return f"{stem}-{digest}.flac"


def _convert(utterance: Utterance, target: Path | None) -> Measured | str:
    if target is not None and (measured := _already_converted(utterance, target)):
        return measured
    try:
        duration_s = utterance.duration_s if utterance.is_cut else None
        samples = decode(utterance.audio, offset_s=utterance.offset_s, duration_s=duration_s, channel=utterance.channel)
    except InputError as error:
        return str(error)
    loudness = measure(samples)
    if target is None:
        return Measured(utterance, loudness)
    _write_flac(target, samples, loudness)
    return _in_own_file(utterance, target, len(samples), loudness)


def _already_converted(utterance: Utterance, target: Path) -> Measured | None:
    if not target.exists():
        return None
    try:
        with soundfile.SoundFile(target) as sound:
            return _in_own_file(utterance, target, sound.frames, Loudness(**json.loads(sound.comment)))
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return None


def _write_flac(target: Path, samples: Samples, loudness: Loudness) -> None:
    with new_file(target) as aside:
        try:
            with soundfile.SoundFile(aside, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16", format="FLAC") as sound:
                sound.comment = json.dumps(asdict(loudness))
                sound.write(samples)
        except soundfile.LibsndfileError as error:
            raise InputError(f"{target}: cannot be written ({error}); is the disk full?") from error


def _in_own_file(utterance: Utterance, target: Path, num_samples: int, loudness: Loudness) -> Measured:
    duration_s = num_samples / SAMPLE_RATE_HZ
    return Measured(
        replace(utterance, audio=target, duration_s=duration_s, offset_s=0.0, is_cut=False, channel=None), loudness
    )


def _as_row(utterance: Utterance, result: Measured | str) -> Measured | str:
    """Give a row its own text back where it shares a file with another."""
    if isinstance(result, str):
        return f"{utterance.source}: {result}"
    cut = result.utterance
    own = replace(
        utterance,
        audio=cut.audio,
        duration_s=cut.duration_s,
        offset_s=cut.offset_s,
        is_cut=cut.is_cut,
        channel=cut.channel,
    )
    return Measured(own, result.loudness)
