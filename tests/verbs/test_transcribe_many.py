"""Many recordings: each transcript is written as soon as it is there, none in the place of another, damage is told."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from eartune.cli import main
from eartune.errors import InputError
from eartune.verbs.transcribe import Transcript, output_paths, transcribe


@pytest.fixture
def days(tiny_speech: Path, tmp_path: Path) -> list[Path]:
    """Two recordings of one name, of other days."""
    clips = [tmp_path / "in" / day / "rec.wav" for day in ("monday", "tuesday")]
    for number, clip in enumerate(clips):
        clip.parent.mkdir(parents=True)
        shutil.copy(tiny_speech.parent / "audio" / f"{number}.wav", clip)
    return clips


def cut_inside(clip: Path) -> Path:
    """Damage a FLAC where only decoding sees it."""
    path = clip.with_name("damaged.flac")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000)
    soundfile.write(path, noise, 16_000)
    content = bytearray(path.read_bytes())
    begin, end = len(content) // 3, len(content) // 2
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    return path


def test_recordings_of_one_name_keep_their_folders(
    tiny_model: Path, days: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["transcribe", str(tiny_model), *map(str, days), "--language", "en", "--out", str(out)]) == 0
    written = [out / "monday" / "rec.wav.txt", out / "tuesday" / "rec.wav.txt"]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in written]
    assert all(path.is_file() for path in written)


@pytest.mark.parametrize(
    ("recordings", "written"),
    [
        (["a/x.wav", "b/y.wav"], ["x.wav.txt", "y.wav.txt"]),
        (["a/x.wav", "a/x.mp3"], ["x.wav.txt", "x.mp3.txt"]),
        (["a/x.wav", "a/b/x.wav"], ["x.wav.txt", "b/x.wav.txt"]),
        (["a/x.wav", "b/X.WAV"], ["a/x.wav.txt", "b/X.WAV.txt"]),
    ],
)
def test_names_of_transcripts(tmp_path: Path, recordings: list[str], written: list[str]) -> None:
    found = output_paths([tmp_path / name for name in recordings], Path("out"), ".txt")
    assert found == [Path("out") / name for name in written]


def test_a_recording_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match=r"x\.wav: is given twice"):
        output_paths([tmp_path / "x.wav", tmp_path / "b" / ".." / "x.wav"], Path("out"), ".txt")


def test_damage_stops_no_other_recording(tiny_model: Path, days: list[Path]) -> None:
    heard: list[Transcript] = []
    recordings = [days[0], cut_inside(days[0]), days[1]]
    with pytest.raises(InputError, match=r"1 of 3 recordings cannot be decoded:\n.*damaged\.flac"):
        transcribe(str(tiny_model), recordings, language="en", each=heard.append)
    assert [transcript.audio for transcript in heard] == days


def test_what_is_no_recording_is_told_before_any_decoding(tiny_model: Path, days: list[Path], tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("words")
    heard: list[Transcript] = []
    with pytest.raises(InputError) as caught:
        transcribe(str(tiny_model), [*days, tmp_path / "words.txt", tmp_path / "none.wav"], each=heard.append)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "is text, not audio; it begins with 'words'",
        "no such file",
    ]
    assert not heard
