"""Transcripts are found beside recordings, in tables and in LibriSpeech's files; what lacks one is named."""

import re
from pathlib import Path

import pytest

from eartune.errors import InputError
from eartune.manifest import Manifest
from eartune.prepare.folder import read_folder
from eartune.prepare.table import split_named

from .conftest import Record


def said(manifest: Manifest, *more: str) -> list[tuple[object, ...]]:
    """Return (name of the recording, text, more of it) of each utterance."""
    rows = []
    for utterance in manifest.utterances:
        values = [utterance.extra.get("split") if name == "split" else getattr(utterance, name) for name in more]
        rows.append((utterance.audio.name, utterance.text, *values))
    return rows


def findings(root: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_folder(root)
    return [line.replace(f"{root.resolve()}/", "").replace(f"{root}/", "") for line in str(caught.value).splitlines()]


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- nothing to read


def test_folder_that_is_none(tmp_path: Path) -> None:
    assert findings(tmp_path / "no") == [f"{tmp_path / 'no'}: no such directory"]
    assert findings(put(tmp_path / "file", "")) == [f"{tmp_path / 'file'}: is not a directory"]


def test_folder_without_recordings(tmp_path: Path) -> None:
    put(tmp_path / "clip.txt", "hello")
    assert findings(tmp_path) == [f"{tmp_path}: holds no recordings (.wav, .flac, .mp3, .ogg, .opus, .m4a, ...)"]


# --- text files beside recordings


def test_text_files_beside_recordings(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    put(tmp_path / "a.txt", "\ufeffпривет,\nмир\n")
    record(tmp_path / "b.c.FLAC")
    put(tmp_path / "b.c.lab", "two")
    record(tmp_path / "d.ogg")
    put(tmp_path / "d.ogg.txt", "three")
    put(tmp_path / "README.txt", "not a transcript")
    manifest = read_folder(tmp_path, default_language="Russian")
    assert said(manifest, "speaker", "language") == [
        ("a.wav", "привет, мир", None, "ru"),
        ("b.c.FLAC", "two", None, "ru"),
        ("d.ogg", "three", None, "ru"),
    ]
    assert manifest.utterances[0].source == str(tmp_path / "a.txt")


def test_recording_without_transcript_is_a_finding(tmp_path: Path, record: Record) -> None:
    for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
        record(tmp_path / name)
    put(tmp_path / "a.txt", "fine")
    put(tmp_path / "c.txt", " \n")
    put(tmp_path / "d.txt", "привет".encode("cp1251"))
    assert findings(tmp_path) == [
        "2 of 4 rows cannot be used:",
        "b.wav: no transcript: no b.txt or b.lab beside it",
        "d.txt:1: is not UTF-8; save it as UTF-8",
        "Fix these rows, or skip them with skip_bad (--skip-bad).",
    ]
    manifest = read_folder(tmp_path, skip_bad=True)
    # nobody speaks in c.wav
    assert said(manifest) == [("a.wav", "fine"), ("c.wav", "")]
    assert len(manifest.skipped) == 2


def test_hidden_files_are_left_alone(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    put(tmp_path / "a.txt", "fine")
    record(tmp_path / "._a.wav")
    record(tmp_path / ".cache" / "b.wav")
    record(tmp_path / "__MACOSX" / "c.wav")
    assert said(read_folder(tmp_path)) == [("a.wav", "fine")]


def test_links_to_folders_are_followed_once(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "disk" / "a.wav")
    put(tmp_path / "disk" / "a.txt", "fine")
    (tmp_path / "corpus").mkdir()
    try:
        (tmp_path / "corpus" / "clips").symlink_to(tmp_path / "disk")
        (tmp_path / "disk" / "loop").symlink_to(tmp_path / "corpus")
    except OSError:
        pytest.skip("links need rights on Windows")
    assert said(read_folder(tmp_path / "corpus")) == [("a.wav", "fine")]


# --- speakers


def spoken(root: Path, record: Record, *names: str) -> None:
    for name in names:
        record(root / name)
        put((root / name).with_suffix(".txt"), f"text of {name}")


@pytest.mark.parametrize(
    ("names", "speakers"),
    [
        (["1.wav", "2.wav"], [None, None]),
        (["mia/1.wav", "leo/1.wav"], ["leo", "mia"]),
        (["wavs/1.wav", "wavs/2.wav"], [None, None]),
        (["1.wav", "mia/1.wav", "leo/1.wav"], [None, "leo", "mia"]),
        (["mia/1.wav", "leo/1.wav", "leo/deep/1.wav"], ["leo", None, "mia"]),
        (["train/mia/1.wav", "train/leo/1.wav", "test/zoe/1.wav"], ["zoe", "leo", "mia"]),
    ],
)
def test_speaker_is_the_folder_where_there_are_several(
    tmp_path: Path, record: Record, names: list[str], speakers: list[str | None]
) -> None:
    spoken(tmp_path, record, *names)
    assert [utterance.speaker for utterance in read_folder(tmp_path).utterances] == speakers


# --- tables


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", 'file_name,transcription,mood\nclips/a.wav,"one, two",merry\nb.wav,three,\n'),
        ("words.tsv", "path\tsentence\tmood\nclips/a.wav\tone, two\tmerry\nb.wav\tthree\t\n"),
        (
            "data.jsonl",
            '{"audio": "clips/a.wav", "text": "one, two", "mood": "merry"}\n{"audio": "b.wav", "text": "three"}',
        ),
    ],
)
def test_table(tmp_path: Path, record: Record, name: str, content: str) -> None:
    record(tmp_path / "clips" / "a.wav")
    record(tmp_path / "b.wav")
    put(tmp_path / name, content)
    put(tmp_path / "stats.csv", "year,amount\n2020,3\n")
    put(tmp_path / "settings.json", '{"x": 1}')
    manifest = read_folder(tmp_path)
    assert said(manifest) == [("a.wav", "one, two"), ("b.wav", "three")]
    assert manifest.utterances[0].extra == {"mood": "merry"}


def test_recordings_outside_the_table_take_their_text_files_or_are_findings(tmp_path: Path, record: Record) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        record(tmp_path / name)
    put(tmp_path / "metadata.csv", "file_name,transcription\na.wav,one\n./b.wav,\n")
    put(tmp_path / "c.txt", "three")
    record(tmp_path / "d.wav")
    assert findings(tmp_path)[1:-1] == [
        "d.wav: no transcript: no d.txt or d.lab beside it, and no line in metadata.csv",
    ]
    assert said(read_folder(tmp_path, skip_bad=True)) == [("a.wav", "one"), ("b.wav", ""), ("c.wav", "three")]


def test_several_tables_in_one_folder(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    for name in ("validated.tsv", "other.tsv"):
        put(tmp_path / name, "path\tsentence\na.wav\tone\n")
    (finding,) = findings(tmp_path)
    assert "holds several tables: other.tsv, validated.tsv; give one of them as the source" in finding


def test_metadata_is_meant_among_several_tables(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    put(tmp_path / "metadata.csv", "file_name,transcription\na.wav,one\n")
    put(tmp_path / "old.csv", "file_name,transcription\na.wav,zero\n")
    assert said(read_folder(tmp_path)) == [("a.wav", "one")]


# --- splits


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("train_portable.jsonl", "train"),
        ("Training", "train"),
        ("dev-clean", "val"),
        ("valid", "val"),
        ("validation.tsv", "val"),
        ("val_manifest.json", "val"),
        ("test", "test"),
        ("trains", None),
        ("validated.tsv", None),
        ("contest", None),
        ("", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_named(name) == split


def test_tables_named_after_splits(tmp_path: Path, record: Record) -> None:
    for name in ("a", "b", "c"):
        record(tmp_path / f"{name}.wav")
    put(tmp_path / "train.csv", "path,text\na.wav,one\n")
    put(tmp_path / "dev.jsonl", '{"audio": "b.wav", "text": "two"}')
    put(tmp_path / "test.tsv", "path\ttext\tsplit\nc.wav\tthree\ttrain\n")
    assert said(read_folder(tmp_path), "split") == [
        ("b.wav", "two", "val"),
        ("c.wav", "three", "train"),
        ("a.wav", "one", "train"),
    ]


def test_one_table_alone_gives_no_split_by_its_name(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    put(tmp_path / "train.csv", "path,text\na.wav,one\n")
    assert said(read_folder(tmp_path), "split") == [("a.wav", "one", None)]


def test_folders_named_after_splits(tmp_path: Path, record: Record) -> None:
    spoken(tmp_path, record, "train/1.wav", "train/2.wav", "dev/1.wav")
    record(tmp_path / "test" / "x.wav")
    put(tmp_path / "test" / "metadata.csv", "file_name,transcription\nx.wav,four\n")
    splits = [utterance.extra.get("split") for utterance in read_folder(tmp_path).utterances]
    assert splits == ["test", "val", "train", "train"]


def test_folder_named_test_beside_others_gives_no_split(tmp_path: Path, record: Record) -> None:
    spoken(tmp_path, record, "test/1.wav", "mia/1.wav")
    assert {utterance.extra.get("split") for utterance in read_folder(tmp_path).utterances} == {None}


# --- LibriSpeech


def test_librispeech_layout(tmp_path: Path, record: Record) -> None:
    for name in ("dev-clean/84/121/84-121-0000", "train-clean-100/19/198/19-198-0000"):
        record(tmp_path / f"{name}.flac")
        number = name.split("/")[-1]
        put(tmp_path / f"{name}.flac".replace(".flac", ".trans.txt").replace("-0000", ""), f"{number} HE SAID\n\n")
    assert said(read_folder(tmp_path), "speaker", "split") == [
        ("84-121-0000.flac", "HE SAID", "84", "val"),
        ("19-198-0000.flac", "HE SAID", "19", "train"),
    ]


def test_librispeech_transcripts_in_another_encoding(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "1-2-0000.flac")
    put(tmp_path / "1-2.trans.txt", b"1-2-0000 A\n1-2-0001 \xe9\n")
    assert findings(tmp_path) == ["1-2.trans.txt:2: is not UTF-8; save it as UTF-8"]


@pytest.mark.real_speech
def test_real_librispeech(shared_dir: Path) -> None:
    manifest = read_folder(shared_dir / "samples" / "librispeech")
    assert len(manifest.utterances) == 4
    assert {utterance.speaker for utterance in manifest.utterances} == {"1089"}
    assert manifest.utterances[2].text == "HE COULD WAIT NO LONGER"
    assert re.fullmatch(r".*1089-134691\.trans\.txt:1", manifest.utterances[2].source)
