"""A scan uses all recordings, whatever they are called, and names what it does not use."""

import shutil
from pathlib import Path

import pytest

from eartune.prepare import prepare_corpus, read_folder

from .conftest import Record


def remarks(folder: Path) -> list[str]:
    return [remark for remark in read_folder(folder).remarks if "not used" in remark or "recording" in remark]


@pytest.mark.parametrize("name", ["a.wave", "a.WAV", "a.bin", "a", "a.wav.part2"])
def test_a_recording_is_known_by_its_content(tmp_path: Path, record: Record, name: str) -> None:
    record(tmp_path / "x.wav").rename(tmp_path / name)
    (tmp_path / name).with_suffix(".txt").write_text("one")
    assert [u.text for u in read_folder(tmp_path).utterances] == ["one"]


def test_transcripts_without_recordings_are_named(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    for name in ("a", "orphan", "README"):
        (tmp_path / f"{name}.txt").write_text("one")
    assert remarks(tmp_path) == ["1 transcripts without a recording are not used: orphan.txt"]


def test_lines_of_librispeech_without_recordings_are_named(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "1-2-0000.flac")
    (tmp_path / "1-2.trans.txt").write_text("1-2-0000 ONE\n1-2-0001 TWO\n")
    assert remarks(tmp_path) == ["1 lines of *.trans.txt have no recording: 1-2-0001"]


def test_other_files_are_named_or_counted(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\none\n")
    assert remarks(tmp_path) == ["1 other files are not used: a.srt"]
    for n in range(7):
        (tmp_path / f"{n}.jpg").write_bytes(b"\xff\xd8\xff")
    assert remarks(tmp_path) == ["8 other files are not used, by suffix: .jpg 7, .srt 1"]


def test_tables_that_are_not_meant_are_named_and_their_clips_are_no_findings(tmp_path: Path, record: Record) -> None:
    rows = {}
    for n in range(8):
        record(tmp_path / "clips" / f"{n}.wav")
        rows[n] = f"{n}.wav\ttext {n}\n"
    tables = {"train": range(4), "dev": [4], "test": [5], "validated": range(7), "other": [7]}
    for name, numbers in tables.items():
        (tmp_path / f"{name}.tsv").write_text("path\tsentence\n" + "".join(rows[n] for n in numbers))
    manifest = read_folder(tmp_path)
    assert [(u.text, u.extra["split"]) for u in manifest.utterances] == [
        ("text 4", "val"),
        ("text 5", "test"),
        *[(f"text {n}", "train") for n in range(4)],
    ]
    assert remarks(tmp_path) == [
        "not used, as other tables beside them are named after splits: other.tsv, validated.tsv; "
        "2 recordings are only in them"
    ]


def test_prepare_says_it_last(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "a.txt").write_text("one")
    shutil.copy(tmp_path / "in" / "a.txt", tmp_path / "in" / "b.txt")
    prepared = prepare_corpus(tmp_path / "in", tmp_path / "out")
    assert "1 transcripts without a recording are not used: b.txt" in prepared.notes
    assert "1 transcripts without a recording are not used: b.txt" in prepared.audit["notes"]


def test_other_splits_beside_a_table_are_named(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "in" / "a.wav")
    for name in ("train", "dev", "test", "other"):
        (tmp_path / "in" / f"{name}.tsv").write_text("path\ttext\na.wav\tone\n")
    prepared = prepare_corpus(tmp_path / "in" / "train.tsv", tmp_path / "out")
    assert "beside train.tsv are dev.tsv, test.tsv: give the folder to keep these splits" in prepared.notes
