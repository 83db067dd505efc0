"""From a corpus to manifests that can be trained on; run again, it goes on where it stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import eartune.prepare.convert
from eartune.audio import decode_stretches
from eartune.errors import InputError
from eartune.manifest import read_manifest
from eartune.prepare import PreparedCorpus, prepare_corpus

from .conftest import Record


@pytest.fixture
def corpus(tmp_path: Path, record: Record) -> Path:
    """A folder of 30 clips with text files, of 6 speakers."""
    for n in range(30):
        clip = record(tmp_path / "corpus" / f"speaker{n % 6}" / f"{n}.wav", duration_s=0.3, rate_hz=8000)
        clip.with_suffix(".txt").write_text(f"text number {n}", encoding="utf-8")
    return tmp_path / "corpus"


def texts(prepared: PreparedCorpus) -> dict[str, set[str]]:
    return {split: {u.text for u in read_manifest(path).utterances} for split, path in prepared.manifests.items()}


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# --- what is written


def test_folder_becomes_manifests_audio_and_audit(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepared = prepare_corpus(corpus, out, language="en")
    assert list(prepared.manifests.values()) == [out / f"{split}.jsonl" for split in ("train", "val", "test")]
    assert sum(map(len, texts(prepared).values())) == 30
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert set(rows[0]) == {"audio_filepath", "duration", "text", "lang", "speaker"}
    assert all((out / row["audio_filepath"]).is_file() and row["audio_filepath"].startswith("audio/") for row in rows)
    assert len(list((out / "audio").iterdir())) == 30
    assert prepared.notes == ("no speaker and no text is in two splits (6 speakers)",)
    report = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert report["total"]["utterances"] == 30
    assert report["source"] == str(corpus)
    assert sorted(path.name for path in out.iterdir()) == [
        "audio",
        "audit.json",
        "test.jsonl",
        "train.jsonl",
        "val.jsonl",
    ]


def test_output_can_be_moved(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus, tmp_path / "out")
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert read_manifest(moved / "train.jsonl").utterances[0].audio.parent == moved / "audio"


def test_without_copies_manifests_point_at_the_source(corpus: Path, tmp_path: Path) -> None:
    prepared = prepare_corpus(corpus, tmp_path / "out", copy_audio=False)
    assert not (tmp_path / "out" / "audio").exists()
    first = read_manifest(prepared.manifests["train"]).utterances[0]
    assert first.audio.is_relative_to(corpus)
    assert '"audio_filepath": "../corpus/speaker' in prepared.manifests["train"].read_text(encoding="utf-8")


def test_table_is_a_source_too(corpus: Path, tmp_path: Path) -> None:
    lines = [f"speaker{n % 6}/{n}.wav,{n % 3} {n},russian,{'train' if n > 5 else 'dev'}\n" for n in range(30)]
    (corpus / "all.csv").write_text("path,text,language,split\n" + "".join(lines), encoding="utf-8")
    prepared = prepare_corpus(corpus / "all.csv", tmp_path / "out", splits=(0.9, 0.1, 0.0))
    assert [len(part) for part in texts(prepared).values()] == [24, 6]
    assert list(prepared.manifests) == ["train", "val"]
    assert {u.language for u in read_manifest(prepared.manifests["val"]).utterances} == {"ru"}


def test_what_was_prepared_can_be_prepared_again(corpus: Path, tmp_path: Path) -> None:
    first = prepare_corpus(corpus, tmp_path / "out")
    second = prepare_corpus(tmp_path / "out", tmp_path / "again")
    assert texts(first) == texts(second)
    assert second.notes[0] == "the splits of the source are kept"


def test_small_corpus_says_what_is_empty(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "corpus" / "a.wav").with_suffix(".txt").write_text("one")
    prepared = prepare_corpus(tmp_path / "corpus", tmp_path / "out")
    assert list(prepared.manifests) == ["train"]
    assert "val and test would be empty: there are too few different texts to split" in prepared.notes


def test_segments_of_one_recording(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "long.wav", duration_s=6)
    rows = [{"audio": "long.wav", "text": f"part {n}", "offset": n, "duration": 1} for n in range(6)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prepared = prepare_corpus(tmp_path / "m.jsonl", tmp_path / "out")
    utterances = [u for path in prepared.manifests.values() for u in read_manifest(path).utterances]
    assert len({u.audio for u in utterances}) == 6
    assert {u.duration_s for u in utterances} == {1.0}
    kept = prepare_corpus(tmp_path / "m.jsonl", tmp_path / "kept", copy_audio=False)
    utterances = [u for path in kept.manifests.values() for u in read_manifest(path).utterances]
    assert sorted(u.offset_s for u in utterances) == [0, 1, 2, 3, 4, 5]


# --- run again


def test_same_source_gives_the_same_files(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus, tmp_path / "out", seed=3)
    before = content(tmp_path / "out")
    prepare_corpus(corpus, tmp_path / "out", seed=3)
    assert content(tmp_path / "out") == before


def test_split_does_not_change_with_the_time_of_a_download(corpus: Path, tmp_path: Path) -> None:
    first = texts(prepare_corpus(corpus, tmp_path / "out"))
    for number, path in enumerate(sorted(corpus.rglob("*.wav"))):
        os.utime(path, (number * 77 % 50, number * 77 % 50))
    moved = corpus.rename(tmp_path / "moved")
    assert texts(prepare_corpus(moved, tmp_path / "out2")) == first


def test_only_what_changed_is_converted_again(
    corpus: Path, tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_corpus(corpus, tmp_path / "out")
    changed = record(corpus / "speaker0" / "0.wav", duration_s=0.5)
    gone = corpus / "speaker1" / "1.wav"
    gone.unlink()
    decoded = []
    monkeypatch.setattr(
        eartune.prepare.convert,
        "decode_stretches",
        lambda path, *more, **options: decoded.append(path) or decode_stretches(path, *more, **options),
    )
    prepare_corpus(corpus, tmp_path / "out")
    assert decoded == [changed]
    assert len(list((tmp_path / "out" / "audio").iterdir())) == 29


KILLED = """
import os, sys
from eartune.prepare import prepare_corpus
prepare_corpus(sys.argv[1], sys.argv[2], progress=lambda done, total: os._exit(9) if done == 10 else None)
"""


def test_after_a_kill_it_goes_on_where_it_stopped(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    process = subprocess.run([sys.executable, "-c", KILLED, str(corpus), str(out)], check=False)
    assert process.returncode == 9
    assert [path.name for path in out.iterdir()] == ["audio"]
    decoded = []
    monkeypatch.setattr(
        eartune.prepare.convert,
        "decode_stretches",
        lambda path, *more, **options: decoded.append(path) or decode_stretches(path, *more, **options),
    )
    prepared = prepare_corpus(corpus, out)
    assert len(decoded) <= 20
    assert sum(map(len, texts(prepared).values())) == 30
    assert not [path for path in (out / "audio").iterdir() if path.name.startswith(".")]


def test_split_that_is_no_longer_wanted_goes_away(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus, tmp_path / "out")
    prepare_corpus(corpus, tmp_path / "out", splits=(0.9, 0.1, 0))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jsonl")) == ["train.jsonl", "val.jsonl"]


# --- what goes wrong


def test_bad_rows_are_errors_or_skipped(corpus: Path, tmp_path: Path, record: Record) -> None:
    record(corpus / "speaker0" / "untold.wav")
    torn = record(corpus / "speaker0" / "torn.flac", duration_s=3)
    torn.with_suffix(".txt").write_text("torn")
    torn.write_bytes(torn.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"(?s)1 of 32 rows cannot be used.*untold.wav: no transcript"):
        prepare_corpus(corpus, tmp_path / "out")
    (corpus / "speaker0" / "untold.txt").write_text("told")
    with pytest.raises(InputError, match=r"(?s)1 of 32 recordings cannot be used.*torn.flac: is damaged.*--skip-bad"):
        prepare_corpus(corpus, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.json*"))
    prepared = prepare_corpus(corpus, tmp_path / "out", skip_bad=True)
    assert prepared.audit["skipped"]["count"] == 1
    assert prepared.notes[-1].startswith("1 rows were skipped, the first: ")
    assert sum(map(len, texts(prepared).values())) == 31


def test_long_clips_are_findings_where_a_limit_is_set(corpus: Path, tmp_path: Path, record: Record) -> None:
    record(corpus / "speaker0" / "long.wav", duration_s=2).with_suffix(".txt").write_text("long")
    with pytest.raises(InputError, match=r"duration 2\.0 s exceeds max_duration_s 1"):
        prepare_corpus(corpus, tmp_path / "out", max_duration_s=1)
    prepared = prepare_corpus(corpus, tmp_path / "out", max_duration_s=1, skip_bad=True)
    assert prepared.audit["duration_s"]["longest"] == 0.3


def test_places_that_would_harm_the_source(corpus: Path, tmp_path: Path) -> None:
    for out in (corpus, corpus / "out"):
        with pytest.raises(InputError, match="contains the other; choose another place"):
            prepare_corpus(corpus, out)
    with pytest.raises(InputError, match="contains the other"):
        prepare_corpus(corpus.rename(tmp_path / "audio"), tmp_path)


def test_settings_are_checked_before_the_work(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eartune.prepare.convert, "decode_stretches", None)
    with pytest.raises(InputError, match="give the shares"):
        prepare_corpus(corpus, tmp_path / "out", splits=(0.5, 0.1, 0.1))
    with pytest.raises(InputError, match="language 'klingon' is not known"):
        prepare_corpus(corpus, tmp_path / "out", language="klingon")
    (corpus / "all.csv").write_text("path,text,split\nspeaker0/0.wav,a,train\nspeaker1/1.wav,b,\n")
    with pytest.raises(InputError, match="Some utterances name their split, and these do not"):
        prepare_corpus(corpus / "all.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_dropped_moves_nothing_between_splits(corpus: Path, tmp_path: Path, record: Record) -> None:
    before = texts(prepare_corpus(corpus, tmp_path / "out"))
    torn = record(corpus / "speaker1" / "1.flac", duration_s=3)
    torn.with_suffix(".wav").unlink()
    whole = texts(prepare_corpus(corpus, tmp_path / "whole", seed=0))
    torn.write_bytes(torn.read_bytes()[:4000])
    after = texts(prepare_corpus(corpus, tmp_path / "out", skip_bad=True))
    assert sum(map(len, before.values())) == 30
    assert {split: part - {"text number 1"} for split, part in whole.items()} == after


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, eartune.prepare; print(*{'torch', 'transformers', 'av'} & set(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == ""


def test_source_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or directory"):
        prepare_corpus(tmp_path / "none", tmp_path / "out")


def test_manifests_of_others_are_not_overwritten(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"holds train\.jsonl, which eartune prepare did not write"):
        prepare_corpus(corpus, tmp_path / "out")
    with pytest.raises(InputError, match="would overwrite the source"):
        prepare_corpus(tmp_path / "out" / "train.jsonl", tmp_path / "out")
    assert (tmp_path / "out" / "train.jsonl").read_text() == "mine"


def test_place_that_cannot_be_written(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, not a directory"):
        prepare_corpus(corpus, tmp_path / "file" / "out")


@pytest.mark.real_speech
def test_real_prompts(shared_dir: Path, tmp_path: Path) -> None:
    prepared = prepare_corpus(shared_dir / "data" / "prompts-en", tmp_path / "out")
    assert [part["utterances"] for part in prepared.audit["splits"].values()] == [405, 47, 68]
    assert prepared.audit["longer_than_30_s"]["count"] == 3
