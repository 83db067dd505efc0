"""transcribe: a model and recordings of any length -> text, or segments with times."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from eartune.audio import SAMPLE_RATE_HZ, decode, probe
from eartune.errors import InputError, raise_findings
from eartune.manifest import Segment, Utterance
from eartune.model import DecodeOptions, Waveform, WindowKind
from eartune.reporting import Reporter, Silent
from eartune.runtimes.runtime import SupportsLongForm
from eartune.training.device import best_device, choose_gpu
from eartune.verbs.library_logging import silence_libraries
from eartune.verbs.open_model import Checkpoint, Located, locate, open_located
from eartune.verbs.transcriber import ExportedModel, find_export, open_export, refuse_for_exports

TranscriptFormat = Literal["text", "json", "srt", "vtt"]


@dataclass(frozen=True)
class Transcript:
    """The transcript of one recording. Short recordings decoded without timestamps are one segment."""

    audio: Path
    duration_s: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)


def transcribe(
    model: str,
    recordings: Sequence[Path],
    *,
    timestamps: bool = False,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    language: str | None = None,
    language_token: str | None = None,
    task: Literal["transcribe", "translate"] | None = None,
    num_beams: int = 1,
    window: WindowKind = "padded",
    gpu: int | None = None,
    reporter: Reporter | None = None,
    each: Callable[[Transcript], None] | None = None,
) -> list[Transcript]:
    """Transcribe recordings, one after the other, and call `each` with every transcript as soon as it is ready.

    Only one recording is in memory at a time.

    Recordings that fit into one window are decoded without timestamps unless `timestamps` is set; longer ones are
    decoded with timestamps, in consecutive standard windows; `window` applies to the former only.

    Raises InputError for files that are not recordings before any decoding, and for damaged ones after all others.
    """
    report = reporter or Silent()
    silence_libraries()
    overrides: dict[str, Any] = {"language": language, "language_token": language_token, "task": task}
    found = find_export(model, **overrides) or locate(model, checkpoint=checkpoint, base_model=base_model, **overrides)
    if isinstance(found, ExportedModel):
        refuse_for_exports(
            found,
            checkpoint=checkpoint is not None,
            base_model=base_model is not None,
            num_beams=num_beams != 1,
            window=window != "padded",
            gpu=gpu is not None,
        )
    _require_recordings(recordings)
    choose_gpu(gpu)
    options = DecodeOptions(max_length=448, num_beams=num_beams, window=window, fallback=True)
    transcripts: list[Transcript] = []
    damaged = []
    with (
        _with_model(found, options) if isinstance(found, Located) else _with_export(found) as transcriber,
        report.task("transcribing", len(recordings)) as progress,
        torch.inference_mode(),
    ):
        for recording in recordings:
            try:
                waveform = decode(recording)
            except InputError as error:
                damaged.append(str(error))
            else:
                transcripts.append(_transcript(transcriber, recording, waveform, found.language, timestamps=timestamps))
                if each is not None:
                    each(transcripts[-1])
            progress.advance()
    raise_findings(damaged, summary=f"{len(damaged)} of {len(recordings)} recordings cannot be decoded:")
    return transcripts


def _require_recordings(recordings: Sequence[Path]) -> None:
    findings = []
    for recording in recordings:
        try:
            probe(recording)
        except InputError as error:
            findings.append(str(error))
    raise_findings(findings)


def _transcript(
    transcriber: _RecordingTranscriber, recording: Path, waveform: Waveform, language: str | None, *, timestamps: bool
) -> Transcript:
    duration_s = len(waveform) / SAMPLE_RATE_HZ
    clip = Utterance(audio=recording, text="", duration_s=duration_s, language=language)
    if timestamps or duration_s > transcriber.max_duration_s:
        segments = transcriber.segments(waveform, clip)
    else:
        segments = [Segment(0.0, round(duration_s, 2), transcriber.text(waveform, clip))]
    return Transcript(recording, duration_s, tuple(segments))


def output_paths(recordings: Sequence[Path], out: Path, suffix: str) -> list[Path]:
    """Return the path of each recording's transcript: in `out`, in the recordings' own folders where names repeat.

    Raises InputError where a recording is given twice, or names repeat across drives.
    """
    paths = [recording.resolve() for recording in recordings]
    twice = next((path for number, path in enumerate(paths) if path in paths[:number]), None)
    if twice is not None:
        raise InputError(f"{twice}: is given twice; give each recording only once")
    # names that differ only in case are the same file on Windows and macOS
    if len({path.name.casefold() for path in paths}) == len(paths):
        return [out / (path.name + suffix) for path in paths]
    try:
        shared = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:
        raise InputError(
            f"{out}: recordings of the same name lie on several drives; transcribe those of each drive separately"
        ) from None
    return [out / path.parent.relative_to(shared) / (path.name + suffix) for path in paths]


@dataclass(frozen=True)
class _RecordingTranscriber:
    """A transcriber of single recordings: as text, up to `max_duration_s`, or in segments."""

    max_duration_s: float
    text: Callable[[Waveform, Utterance], str]
    segments: Callable[[Waveform, Utterance], Sequence[Segment]]


@contextmanager
def _with_model(located: Located, options: DecodeOptions) -> Iterator[_RecordingTranscriber]:
    model = open_located(located)
    model.network.to(best_device())
    yield _RecordingTranscriber(
        model.window.max_s,
        lambda waveform, clip: model.transcribe_batch([waveform], [clip], options)[0],
        model.transcribe_long,
    )


@contextmanager
def _with_export(exported: ExportedModel) -> Iterator[_RecordingTranscriber]:
    with open_export(exported) as runtime:

        def segments(waveform: Waveform, clip: Utterance) -> Sequence[Segment]:
            if not isinstance(runtime, SupportsLongForm):
                raise InputError(
                    f"{clip.audio}: {exported.path} gives no timestamps and decodes at most "
                    f"{runtime.max_duration_s:g} s at once; cut the recording, or transcribe it with the exported model"
                )
            return runtime.segments(waveform, exported.language).segments

        yield _RecordingTranscriber(
            runtime.max_duration_s, lambda waveform, _: runtime.transcribe(waveform, exported.language), segments
        )


def render(transcript: Transcript, form: TranscriptFormat) -> str:
    """Write a transcript as plain text, SubRip or WebVTT."""
    if form == "srt":
        blocks = [
            f"{number}\n{_time(s.start_s, ',')} --> {_time(s.end_s, ',')}\n{s.text}\n"
            for number, s in enumerate(transcript.segments, start=1)
        ]
        return "\n".join(blocks)
    if form == "vtt":
        cues = [f"{_time(s.start_s, '.')} --> {_time(s.end_s, '.')}\n{s.text}\n" for s in transcript.segments]
        return "\n".join(["WEBVTT\n", *cues])
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> dict[str, object]:
    """Return a transcript as JSON values, with times in seconds."""
    return {
        "audio_filepath": str(transcript.audio),
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        "segments": [
            _times(segment) | ({"words": [*map(_times, segment.words)]} if segment.words else {})
            for segment in transcript.segments
        ],
    }


def _times(segment: Segment) -> dict[str, object]:
    return {"start": segment.start_s, "end": segment.end_s, "text": segment.text}


def _time(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
