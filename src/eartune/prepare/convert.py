"""Recordings -> 16 kHz mono FLAC, and the loudness of each.

The name of a converted file has a hash of its source's path, version and stretch, and its comment has the loudness. So
an existing file is valid and a later run reuses it, and two folders may have recordings of the same name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import soundfile

from eartune.audio import SAMPLE_RATE_HZ, Decoded, Loudness, Samples, can_seek, decode_stretches, measure
from eartune.errors import InputError
from eartune.files import clear_leftovers, new_file
from eartune.manifest import Utterance
from eartune.speech_checks import sound_finding, text_finding

__all__ = ["Loudness", "MeasuredUtterance", "Progress", "convert_utterances", "measure", "remove_unused"]

# Stretches of one recording that a thread decodes in one pass, if the file can be read from any position.
CUTS_TOGETHER = 32

_CONVERTED_NAME = re.compile(r".*-[0-9a-f]{12}\.flac")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MeasuredUtterance:
    """An utterance, in a converted file if one was written, and its loudness."""

    utterance: Utterance
    loudness: Loudness


def convert_utterances(
    utterances: Sequence[Utterance], folder: Path | None, *, base: Path, progress: Progress | None = None
) -> list[MeasuredUtterance | str]:
    """Write each utterance to a FLAC file of its own in `folder`; None: decode and measure only.

    Returns utterances and findings in input order: recordings that cannot be decoded, texts too long for their
    duration, silent utterances with a text. Paths in hashes are relative to `base`. Stretches of one recording are
    decoded in one pass. Calls `progress(done, total)`. Raises InputError if `folder` cannot be written.
    """
    if folder is not None:
        clear_leftovers(folder)
    findings = [text_finding(utterance) for utterance in utterances]
    tasks = [
        None
        if finding is not None
        else _Task(utterance, None if folder is None else folder / _converted_name(utterance, base))
        for utterance, finding in zip(utterances, findings, strict=True)
    ]
    # duplicate rows share a file, which must not be written by two threads
    distinct = {task.target or number: task for number, task in enumerate(tasks) if task is not None}
    results: list[MeasuredUtterance | str] = []
    stopped = threading.Event()
    # FLAC, the resampler and the decoders all release the GIL
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for job in _jobs(list(distinct.values())):
                pool.submit(_convert, job, stopped)
            for number, (utterance, finding, task) in enumerate(zip(utterances, findings, tasks, strict=True)):
                if task is None:
                    results.append(f"{utterance.source}: {finding}")
                else:
                    results.append(_as_row(utterance, distinct[task.target or number].result.result()))
                if progress is not None:
                    progress(len(results), len(utterances))
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return results


@dataclass(frozen=True)
class _Task:
    """An utterance, the file to write, and the future result."""

    utterance: Utterance
    target: Path | None
    result: Future[MeasuredUtterance | str] = field(default_factory=Future)


def _jobs(tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
    """Yield the tasks of one thread and pass: a whole recording, or several stretches of one recording."""
    cuts: dict[tuple[Path, int | None], list[_Task]] = {}
    for task in tasks:
        if task.utterance.is_cut:
            cuts.setdefault((task.utterance.audio, task.utterance.channel), []).append(task)
        else:
            yield [task]
    for (path, _), group in cuts.items():
        group.sort(key=lambda task: task.utterance.offset_s)
        size = CUTS_TOGETHER if len(group) <= CUTS_TOGETHER or can_seek(path) else len(group)
        yield from (group[first : first + size] for first in range(0, len(group), size))


def remove_unused(folder: Path, used: set[Path]) -> None:
    """Remove converted files that no utterance uses, and no other files."""
    for path in folder.iterdir():
        if path not in used and _CONVERTED_NAME.fullmatch(path.name):
            path.unlink()


def _converted_name(utterance: Utterance, base: Path) -> str:
    stat = utterance.audio.stat()
    try:
        source = Path(os.path.relpath(utterance.audio, base)).as_posix()
    except ValueError:  # another drive
        source = utterance.audio.as_posix()
    stretch = [utterance.offset_s, utterance.duration_s] if utterance.is_cut else None
    identity = json.dumps([source, stat.st_size, stat.st_mtime_ns, stretch, utterance.channel])
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    # characters that all file systems allow
    stem = re.sub(r"[^\w.-]+", "_", utterance.audio.stem)[:60]
    return f"{stem}-{digest}.flac"


def _convert(job: Sequence[_Task], stopped: threading.Event) -> None:
    try:
        pending = [task for task in job if not _is_converted(task)]
        while pending and not stopped.is_set():
            _convert_in_one_pass(pending, stopped)
    except Exception as error:  # raised by result() in the main thread
        for task in job:
            if not task.result.done():
                task.result.set_exception(error)


def _is_converted(task: _Task) -> bool:
    measured = None if task.target is None else _already_converted(task.utterance, task.target)
    if measured is not None:
        task.result.set_result(measured)
    return measured is not None


def _convert_in_one_pass(pending: list[_Task], stopped: threading.Event) -> None:
    """Convert tasks and remove them from the list, up to and including the first that cannot be decoded."""
    first = pending[0].utterance
    decoding = decode_stretches(first.audio, [_stretch(task.utterance) for task in pending], channel=first.channel)
    while pending and not stopped.is_set():
        try:
            decoded = next(decoding)
        except InputError as error:
            pending.pop(0).result.set_result(str(error))
            return
        _finish(pending.pop(0), decoded)


def _finish(task: _Task, decoded: Decoded) -> None:
    loudness = decoded.loudness
    if task.target is None:
        task.result.set_result(MeasuredUtterance(task.utterance, loudness))
        return
    try:
        _write_flac(task.target, decoded.samples, loudness)
    except InputError as error:  # the target cannot be written; this is no finding on the recording
        task.result.set_exception(error)
    else:
        task.result.set_result(_in_own_file(task.utterance, task.target, len(decoded.samples), loudness))


def _stretch(utterance: Utterance) -> tuple[float, float | None]:
    return utterance.offset_s, utterance.duration_s if utterance.is_cut else None


def _already_converted(utterance: Utterance, target: Path) -> MeasuredUtterance | None:
    if not target.exists():
        return None
    try:
        with soundfile.SoundFile(target) as sound:
            loudness = Loudness.from_comment(sound.comment)
            return None if loudness is None else _in_own_file(utterance, target, sound.frames, loudness)
    except soundfile.LibsndfileError:
        return None


def _write_flac(target: Path, samples: Samples, loudness: Loudness) -> None:
    with new_file(target) as staged:
        try:
            with soundfile.SoundFile(staged, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16", format="FLAC") as sound:
                sound.comment = loudness.to_comment()
                # PCM clips at full scale
                sound.write(samples / loudness.peak if loudness.peak > 1 else samples)
        except soundfile.LibsndfileError as error:
            raise InputError(f"{target}: cannot be written ({error}); is the disk full?") from error


def _in_own_file(utterance: Utterance, target: Path, num_samples: int, loudness: Loudness) -> MeasuredUtterance:
    duration_s = num_samples / SAMPLE_RATE_HZ
    return MeasuredUtterance(
        replace(utterance, audio=target, duration_s=duration_s, offset_s=0.0, is_cut=False, channel=None), loudness
    )


def _as_row(utterance: Utterance, result: MeasuredUtterance | str) -> MeasuredUtterance | str:
    """Return the result for one row, with the row's own text, as duplicate rows share a result."""
    finding = result if isinstance(result, str) else sound_finding(utterance, result.loudness)
    if isinstance(result, str) or finding is not None:
        return f"{utterance.source}: {finding}"
    cut = result.utterance
    own = replace(
        utterance,
        audio=cut.audio,
        duration_s=cut.duration_s,
        offset_s=cut.offset_s,
        is_cut=cut.is_cut,
        channel=cut.channel,
    )
    return MeasuredUtterance(own, result.loudness)
