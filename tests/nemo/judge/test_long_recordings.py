"""Recordings of more than one clip: cut in pauses, in order, with the times that NeMo gives the same clips."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from eartune.audio import SAMPLE_RATE_HZ, decode
from eartune.cli import main
from eartune.long_form import cut_at_silences
from eartune.model import Waveform
from eartune.verbs.transcribe import transcribe
from tests.nemo.judge.tuning import KINDS, archive_of, clips_of

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")

pytestmark = pytest.mark.nemo

TRANSDUCERS = ["parakeet-rnnt", "parakeet-tdt", "parakeet-hybrid"]
# times in subtitles are rounded twice
TOLERANCE_S = 0.011


@dataclass(frozen=True)
class Recording:
    """Clips with pauses before them, and where each of them lies, in seconds."""

    path: Path
    waveform: Waveform
    spoken_s: tuple[tuple[float, float], ...]


def record(shared: Path, kind: str, folder: Path) -> Recording:
    chance, parts, spoken, length = np.random.default_rng(0), [], [], 0
    rows = clips_of(shared, kind)
    for number in range(20):
        clip, _ = soundfile.read(rows[number % len(rows)]["audio_filepath"], dtype="float32")
        pause = np.zeros(round(chance.uniform(0.6, 2.5) * SAMPLE_RATE_HZ), np.float32)
        first = length + len(pause)
        length = first + len(clip)
        parts += [pause, clip]
        spoken.append((first / SAMPLE_RATE_HZ, length / SAMPLE_RATE_HZ))
    path = folder / "long.wav"
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE_HZ)
    return Recording(path, decode(path), tuple(spoken))


@pytest.mark.parametrize("kind", KINDS)
def test_subtitles_of_a_long_recording_follow_each_other(
    kind: str, shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = record(shared_dir, kind, tmp_path)
    length_s = len(recording.waveform) / SAMPLE_RATE_HZ
    assert length_s > 40
    words = ["transcribe", str(archive_of(shared_dir, kind)), str(recording.path), "--format", "srt"]
    assert main([*words, "--language", "en"]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    times = []
    for number, block in enumerate(blocks, start=1):
        title, arrow, text = block.split("\n")
        assert title == str(number)
        assert text.strip()
        times += [seconds(end) for end in arrow.split(" --> ")]
    assert len(blocks) >= 2
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= length_s + TOLERANCE_S
    assert times[-1] > length_s / 2


def test_a_recording_is_cut_in_its_pauses(shared_dir: Path, tmp_path: Path) -> None:
    recording = record(shared_dir, "canary", tmp_path)
    cuts = [first / SAMPLE_RATE_HZ for first, _ in cut_at_silences(recording.waveform, most_s=30.0)][1:]
    assert cuts
    for cut_s in cuts:
        assert not [one for one in recording.spoken_s if one[0] < cut_s < one[1]], cut_s


@pytest.mark.parametrize("kind", TRANSDUCERS)
def test_segments_have_the_times_of_nemo_s_words(kind: str, shared_dir: Path, tmp_path: Path) -> None:
    recording, path = record(shared_dir, kind, tmp_path), archive_of(shared_dir, kind)
    theirs = nemo_asr.models.ASRModel.restore_from(str(path), map_location="cpu").eval()
    words: list[tuple[float, float, str]] = []
    for first, last in cut_at_silences(recording.waveform, most_s=30.0):
        (found,) = theirs.transcribe([recording.waveform[first:last]], timestamps=True, verbose=False)
        words += [timed(word, first / SAMPLE_RATE_HZ) for word in found.timestamp["word"]]
    (transcript,) = transcribe(str(path), [recording.path], timestamps=True)
    assert len(transcript.segments) >= 2
    for segment in transcript.segments:
        count = len(segment.text.split())
        of_segment, words = words[:count], words[count:]
        assert segment.text == " ".join(text for *_, text in of_segment)
        assert segment.start_s == pytest.approx(of_segment[0][0], abs=TOLERANCE_S)
        assert segment.end_s == pytest.approx(of_segment[-1][1], abs=TOLERANCE_S)
    assert not words


def timed(word: dict[str, Any], clip_begins_s: float) -> tuple[float, float, str]:
    return float(word["start"]) + clip_begins_s, float(word["end"]) + clip_begins_s, str(word["word"])


def seconds(time: str) -> float:
    hours, minutes, whole, thousandths = map(int, re.split("[:,]", time))
    return 3600 * hours + 60 * minutes + whole + thousandths / 1000
