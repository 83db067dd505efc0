"""Converted recordings are right, are made once, and never share a name."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import eartune.prepare.convert
from eartune.audio import SAMPLE_RATE_HZ, decode, decode_stretches
from eartune.errors import InputError
from eartune.manifest import Utterance
from eartune.prepare.convert import Loudness, MeasuredUtterance, convert_utterances, measure, remove_unused

from .conftest import Record


def utterance(audio: Path, duration_s: float = 1.0, **more: object) -> Utterance:
    return Utterance(audio, "text", duration_s, source="m:1", **more)


def convert(utterances: list[Utterance], folder: Path | None, base: Path) -> list[MeasuredUtterance]:
    results = convert_utterances(utterances, folder, base=base)
    assert all(isinstance(result, MeasuredUtterance) for result in results), results
    return results


@pytest.mark.parametrize(
    ("samples", "loudness"),
    [
        ([0.0, 0.0], Loudness(0.0, 0.0, 0.0, centred_rms=0.0)),
        ([0.5, -0.5], Loudness(0.5, 0.5, 0.0, centred_rms=0.5)),
        ([0.5, 0.5], Loudness(0.5, 0.5, 0.0, mean=0.5, centred_rms=0.0)),
        ([1.0, -1.0, 0.0, 0.0], Loudness(1.0, 0.7071068, 0.5, centred_rms=0.7071068)),
    ],
)
def test_loudness(samples: list[float], loudness: Loudness) -> None:
    assert measure(np.array(samples, np.float32)) == loudness


def test_nothing_to_convert(tmp_path: Path) -> None:
    assert convert_utterances([], tmp_path / "out", base=tmp_path) == []


def test_converted_file_holds_the_same_sound(tmp_path: Path, record: Record) -> None:
    # no question marks in names on Windows
    name = "запись 1.wav" if os.name == "nt" else "запись 1?.wav"
    source = record(tmp_path / name, duration_s=2, rate_hz=48_000)
    (result,) = convert([utterance(source, 2.0, speaker="mia", extra={"mood": "merry"})], tmp_path / "out", tmp_path)
    made = result.utterance
    assert made.audio.parent == tmp_path / "out"
    assert made.audio.name.startswith("запись_1")
    info = soundfile.info(made.audio)
    assert (info.samplerate, info.channels, info.format, info.subtype) == (SAMPLE_RATE_HZ, 1, "FLAC", "PCM_16")
    np.testing.assert_allclose(decode(made.audio), decode(source), atol=1 / 32767)
    assert (made.duration_s, made.text, made.speaker, made.extra) == (2.0, "text", "mia", {"mood": "merry"})


def test_segments_are_cut_into_files_of_their_own(tmp_path: Path, record: Record) -> None:
    source = record(tmp_path / "long.wav", duration_s=10)
    segments = [utterance(source, 2.0, offset_s=float(at), is_cut=True) for at in (0, 2, 8)]
    results = convert(segments, tmp_path / "out", tmp_path)
    assert len({result.utterance.audio for result in results}) == 3
    for result, segment in zip(results, segments, strict=True):
        assert (result.utterance.offset_s, result.utterance.is_cut, result.utterance.duration_s) == (0.0, False, 2.0)
        expected = decode(source, offset_s=segment.offset_s, duration_s=2.0)
        np.testing.assert_allclose(decode(result.utterance.audio), expected, atol=1 / 32767)


def test_same_names_in_two_folders_stay_two(tmp_path: Path, record: Record) -> None:
    sources = [record(tmp_path / name / "1.wav") for name in ("a", "b")]
    results = convert([utterance(source) for source in sources], tmp_path / "out", tmp_path)
    assert len({result.utterance.audio.name.lower() for result in results}) == 2


def test_rows_that_repeat_a_recording_share_its_file_and_keep_their_text(tmp_path: Path, record: Record) -> None:
    source = record(tmp_path / "1.wav")
    rows = [utterance(source), replace(utterance(source), text="other", speaker="leo")] * 20
    results = convert(rows, tmp_path / "out", tmp_path)
    assert len({result.utterance.audio for result in results}) == 1
    assert [(r.utterance.text, r.utterance.speaker) for r in results] == [(row.text, row.speaker) for row in rows]


def test_second_run_takes_over_what_stands(tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [record(tmp_path / f"{n}.wav") for n in range(3)]
    rows = [utterance(source) for source in sources]
    first = convert(rows, tmp_path / "out", tmp_path)
    # changed, damaged, untouched
    record(sources[0], duration_s=3)
    first[1].utterance.audio.write_bytes(b"fLaC")
    decoded = []
    monkeypatch.setattr(
        eartune.prepare.convert,
        "decode_stretches",
        lambda path, *more, **options: decoded.append(path) or decode_stretches(path, *more, **options),
    )
    second = convert(rows, tmp_path / "out", tmp_path)
    assert sorted(decoded) == sources[:2]
    assert second[0].utterance.audio != first[0].utterance.audio
    assert second[0].utterance.duration_s == 3
    assert second[1:] == first[1:]


def test_moved_corpus_is_not_converted_again(tmp_path: Path, record: Record) -> None:
    source = record(tmp_path / "here" / "1.wav")
    first = convert([utterance(source)], tmp_path / "out", source.parent)
    moved = source.parent.rename(tmp_path / "there") / "1.wav"
    assert convert([utterance(moved)], tmp_path / "out", moved.parent) == first


def test_damage_is_a_finding_and_others_go_on(tmp_path: Path, record: Record) -> None:
    sources = [record(tmp_path / f"{n}.flac", duration_s=3) for n in range(3)]
    content = sources[1].read_bytes()
    sources[1].write_bytes(content[: len(content) // 2])
    for folder in (tmp_path / "out", None):
        results = convert_utterances([utterance(source) for source in sources], folder, base=tmp_path)
        assert [isinstance(result, MeasuredUtterance) for result in results] == [True, False, True]
        assert str(results[1]).startswith(
            f"m:1: {sources[1]}: is cut short: the header declares more than the file has"
        )
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_without_a_folder_utterances_stay_as_they_are(tmp_path: Path, record: Record) -> None:
    row = utterance(record(tmp_path / "1.wav", duration_s=4), 2.0, offset_s=1.0, is_cut=True)
    (result,) = convert([row], None, tmp_path)
    assert result.utterance == row
    assert result.loudness == measure(decode(row.audio, offset_s=1, duration_s=2))


def test_progress_counts_to_the_end(tmp_path: Path, record: Record) -> None:
    rows = [utterance(record(tmp_path / f"{n}.wav")) for n in range(5)]
    calls: list[tuple[int, int]] = []
    convert_utterances(rows, tmp_path / "out", base=tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [(n, 5) for n in range(1, 6)]


def test_interruption_leaves_whole_files_only(tmp_path: Path, record: Record) -> None:
    rows = [utterance(record(tmp_path / f"{n}.wav")) for n in range(50)]

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_utterances(rows, tmp_path / "out", base=tmp_path, progress=interrupt)
    made = list((tmp_path / "out").iterdir())
    assert 0 < len(made) <= 50
    assert all(soundfile.info(path).frames == SAMPLE_RATE_HZ for path in made)


def test_place_that_cannot_be_written(tmp_path: Path, record: Record) -> None:
    row = utterance(record(tmp_path / "1.wav"))
    with pytest.raises(InputError, match=r"1\.wav is a file, not a directory"):
        convert_utterances([row], row.audio / "out", base=tmp_path)


def test_full_disk_is_no_fault_of_a_recording(tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    row = utterance(record(tmp_path / "1.wav"))

    def fail(*_: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    with pytest.raises(InputError, match=r"cannot be written .*; is the disk full\?"):
        convert_utterances([row], tmp_path / "out", base=tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


def test_only_own_files_are_removed(tmp_path: Path, record: Record) -> None:
    mine = [record(tmp_path / "out" / name) for name in ("song.flac", "a-123.flac", "a-0123456789ab.wav")]
    (result,) = convert([utterance(record(tmp_path / "1.wav"))], tmp_path / "out", tmp_path)
    stale = record(tmp_path / "out" / "1-0123456789ab.flac")
    remove_unused(tmp_path / "out", {result.utterance.audio})
    assert not stale.exists()
    assert sorted((tmp_path / "out").iterdir()) == sorted([*mine, result.utterance.audio])


def test_many_cuts_are_decoded_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "long.ogg"
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * SAMPLE_RATE_HZ)
    soundfile.write(source, noise, SAMPLE_RATE_HZ, format="OGG", subtype="VORBIS")
    # in any order, some over one another, one beyond the end
    offsets = [*np.random.default_rng(1).permutation(np.arange(0, 29, 0.5)), 40.0]
    rows = [utterance(source, 1.5, offset_s=float(offset), is_cut=True) for offset in offsets]
    expected = [decode(source, offset_s=row.offset_s, duration_s=row.duration_s) for row in rows[:-1]]
    read, num_read = soundfile.SoundFile.read, []

    def counted(sound: soundfile.SoundFile, *more: Any, **options: Any) -> Any:
        samples = read(sound, *more, **options)
        num_read.append(len(samples))
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    *results, beyond = convert_utterances(rows, tmp_path / "out", base=tmp_path)
    assert sum(num_read) == len(noise)
    assert isinstance(beyond, str)
    assert "holds no audio after second 40" in beyond
    for result, samples in zip(results, expected, strict=True):
        assert isinstance(result, MeasuredUtterance)
        np.testing.assert_allclose(decode(result.utterance.audio), samples, atol=1 / 32767)


@pytest.mark.parametrize("suffix", ["wav", "mp3", "opus"])
def test_cuts_of_other_formats_are_those_of_the_whole(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"long.{suffix}"
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    soundfile.write(source, np.random.default_rng(0).normal(0, 0.1, 60 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ, **options)
    whole = decode(source)
    rows = [utterance(source, 0.5, offset_s=offset, is_cut=True) for offset in (55.0, 1.0, 3.25, 30.0, 30.25)]
    for row, result in zip(rows, convert(rows, tmp_path / "out", tmp_path), strict=True):
        begin = round(row.offset_s * SAMPLE_RATE_HZ)
        np.testing.assert_allclose(decode(result.utterance.audio), whole[begin : begin + 8000], atol=1 / 32767)


def test_files_of_earlier_versions_are_converted_again(tmp_path: Path, record: Record) -> None:
    row = utterance(record(tmp_path / "1.wav"))
    (first,) = convert([row], tmp_path / "out", tmp_path)
    samples = decode(first.utterance.audio)
    with soundfile.SoundFile(first.utterance.audio, "w", SAMPLE_RATE_HZ, 1) as sound:
        sound.comment = '{"peak": 0.5, "rms": 0.1, "clipped": 0.0}'
        sound.write(0 * samples)
    assert convert([row], tmp_path / "out", tmp_path) == [first]
    np.testing.assert_array_equal(decode(first.utterance.audio), samples)


def test_samples_over_full_scale_are_turned_down(tmp_path: Path) -> None:
    source = tmp_path / "1.wav"
    samples = np.random.default_rng(0).uniform(-1.7, 1.7, SAMPLE_RATE_HZ)
    soundfile.write(source, samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    (result,) = convert([utterance(source)], tmp_path / "out", tmp_path)
    assert result.loudness.peak > 1.69
    np.testing.assert_allclose(decode(result.utterance.audio), samples / np.abs(samples).max(), atol=1e-4)


def test_silence_with_a_text_and_a_text_that_nobody_can_speak_are_findings(tmp_path: Path, record: Record) -> None:
    silent = record(tmp_path / "silent.wav", loudness=0.0)
    short = record(tmp_path / "short.wav", duration_s=0.03)
    rows = [
        utterance(silent),
        replace(utterance(silent), text=""),
        replace(utterance(short, 0.03), text="what a fine morning it is"),
        replace(utterance(short, 0.03), text=""),
    ]
    told, no_speech, fast, nothing = convert_utterances(rows, tmp_path / "out", base=tmp_path)
    assert "m:1: silent.wav is silent" in told
    assert "m:1: 20 letters in 0.03 s are faster than anyone speaks" in fast
    assert isinstance(no_speech, MeasuredUtterance)
    assert isinstance(nothing, MeasuredUtterance)
