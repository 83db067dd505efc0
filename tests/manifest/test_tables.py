"""Tables as corpora have them: bars, Excel's first line, no header, recordings in a folder of their own."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from eartune.errors import InputError
from eartune.manifest import Utterance, read_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(6):
        for path in (tmp_path / "wavs" / f"LJ00{n}.wav", tmp_path / "clips" / f"c{n}.flac"):
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.full(8000, 0.1, np.float32), 8000)
    return tmp_path


def read(folder: Path, content: str, name: str = "metadata.csv") -> tuple[Utterance, ...]:
    (folder / name).write_text(content, encoding="utf-8")
    return read_manifest(folder / name).utterances


def test_ljspeech(folder: Path) -> None:
    rows = read(folder, 'LJ000|He said "no" in 1455|He said "no" in fourteen fifty-five\nLJ001|Two.|Two.\n')
    assert [(u.audio.name, u.text, u.source[-1]) for u in rows] == [
        ("LJ000.wav", 'He said "no" in 1455', "1"),
        ("LJ001.wav", "Two.", "2"),
    ]
    assert rows[1].extra == {"normalized_text": "Two."}


@pytest.mark.parametrize("order", ["path|speaker|text", "path|text|speaker"])
def test_speakers_are_told_from_texts(folder: Path, order: str) -> None:
    rows = [{"path": f"LJ00{n}", "speaker": "ab"[n % 2], "text": f"sentence {n}"} for n in range(6)]
    content = "".join("|".join(row[name] for name in order.split("|")) + "\n" for row in rows)
    assert [(u.speaker, u.text) for u in read(folder, content)] == [(row["speaker"], row["text"]) for row in rows]


def test_two_cells_without_a_header(folder: Path) -> None:
    assert [(u.audio.name, u.text) for u in read(folder, "c0.flac,one\nc1.flac,\"two, three\"\n")] == [
        ("c0.flac", "one"),
        ("c1.flac", "two, three"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["nowhere|one|one\n", "LJ000|one|uno|eins\n", "LJ000|one|unlike\n"])
def test_cells_that_cannot_be_told_apart_are_refused(folder: Path, content: str) -> None:
    with pytest.raises(InputError, match="A table begins with a line that names its columns"):
        read(folder, content)


def test_first_line_of_excel(folder: Path) -> None:
    rows = read(folder, "sep=;\r\nfile_name;transcription\r\nc0.flac;one, two\r\n")
    assert [(u.text, u.source[-1]) for u in rows] == [("one, two", "3")]


def test_a_header_with_bars(folder: Path) -> None:
    (row,) = read(folder, "audio_file|text|speaker_name\nwavs/LJ000.wav|one|anna\n")
    assert (row.text, row.speaker) == ("one", "anna")


def test_recordings_in_their_folder_and_without_their_ending(folder: Path) -> None:
    rows = read(folder, "path\tsentence\nc0.flac\tone\nc1\ttwo\nLJ002\tthree\n", "train.tsv")
    assert [u.audio.relative_to(folder).as_posix() for u in rows] == [
        "clips/c0.flac",
        "clips/c1.flac",
        "wavs/LJ002.wav",
    ]


def test_a_line_that_ends_before_its_text(folder: Path) -> None:
    with pytest.raises(InputError, match=r"metadata.csv:3: has 1 cells under 2 columns; it ends before its text"):
        read(folder, "path,text\nc0.flac,one\nc1.flac\n")


def test_a_split_is_a_split_however_its_column_is_written(folder: Path) -> None:
    rows = read(folder, "path,text,Split\nc0.flac,one,train\nc1.flac,two,test\n")
    assert [u.extra for u in rows] == [{"split": "train"}, {"split": "test"}]
