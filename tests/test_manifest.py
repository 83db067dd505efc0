"""Every format of the seeds is read, bad rows are named with their place, and what is written reads the same."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eartune.errors import InputError
from eartune.manifest import Utterance, is_table, read_manifest, write_manifest
from eartune.manifest.columns import is_written_for_missing


def wav(path: Path, duration_s: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(duration_s * 8000), 0.1, np.float32), 8000)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with audio/a.wav of 1 s, b.wav of 2 s, long.wav of 40 s; the working directory lies elsewhere."""
    data = tmp_path / "data"
    for name, duration_s in (("a", 1.0), ("b", 2.0), ("long", 40.0)):
        wav(data / "audio" / f"{name}.wav", duration_s)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return data


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def findings(path: Path | list[Path], **options: Any) -> list[str]:
    """Return the findings of an error, without folders and without its first and last line."""
    with pytest.raises(InputError) as caught:
        read_manifest(path, **options)
    lines = str(caught.value).splitlines()
    return [re.sub(r"(?<![\w.])/[^ ]*/", "", line) for line in lines if "rows cannot be used" not in line][
        : -1 if lines[-1].startswith("Fix these rows") else None
    ]


# --- formats

FORMATS = {
    "NeMo": jsonl(
        {"audio_filepath": "audio/a.wav", "duration": 1.0, "text": "один"},
        {"audio_filepath": "audio/b.wav", "duration": 2.0, "text": "два, три"},
    ),
    "NeMo without a last line feed": jsonl(
        {"audio_filepath": "audio/a.wav", "text": "один"}, {"audio_filepath": "audio/b.wav", "text": "два, три"}
    ).strip(),
    "seed 000": json.dumps([{"audio": "audio/a.wav", "text": "один"}, {"audio": "audio/b.wav", "text": "два, три"}]),
    "seed 002": 'path,text\naudio/a.wav,один\naudio/b.wav,"два, три"\n',
    "seed 003": jsonl(
        {"audio": {"path": "audio/a.wav", "sampling_rate": 16000}, "sentence": "один"},
        {"audio": {"path": "audio/b.wav", "sampling_rate": 16000}, "sentence": "два, три"},
    ),
    "seed 003, indented": "\n".join(
        json.dumps({"audio": {"path": f"audio/{name}.wav"}, "sentence": text}, indent=2)
        for name, text in (("a", "один"), ("b", "два, три"))
    ),
    "seed 003, a list": json.dumps(
        [
            {"audio": {"path": "audio/a.wav"}, "sentence": "один"},
            {"audio": {"path": "audio/b.wav"}, "sentence": "два, три"},
        ],
        indent=1,
    ),
    "audiofolder": 'file_name,transcription\naudio/a.wav,один\naudio/b.wav,"два, три"\n',
    "DeepSpeech": 'wav_filename,wav_filesize,transcript\naudio/a.wav,0,один\naudio/b.wav,0,"два, три"\n',
    "spreadsheet": 'Path;Text;duration\r\naudio/a.wav;один;"1,0"\r\naudio/b.wav;два, три;2,0\r\n',
    "old Macintosh": 'path,text\raudio/a.wav,один\raudio/b.wav,"два, три"\r',
    "tabs": "filename\tsentence\naudio/a.wav\tодин\naudio/b.wav\tдва, три\n",
    "byte order mark": '\ufeffpath,text\naudio/a.wav,один\naudio/b.wav,"два, три"\n',
    "byte order mark, JSON": "\ufeff"
    + jsonl({"audio_filepath": "audio/a.wav", "text": "один"}, {"audio_filepath": "audio/b.wav", "text": "два, три"}),
    "backslashes": jsonl(
        {"audio_filepath": r"audio\a.wav", "text": "один"}, {"audio_filepath": r".\audio\b.wav", "text": "два, три"}
    ),
    "blank lines and spaces": '\n\n  path , text \n\naudio/a.wav,  один \n\n\naudio/b.wav,"два,\n три"\n\n',
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
def test_content_tells_the_format(folder: Path, name: str, suffix: str) -> None:
    manifest = read_manifest(put(folder / f"m{suffix}", FORMATS[name]))
    assert [(u.audio, u.text, u.duration_s) for u in manifest.utterances] == [
        (folder / "audio" / "a.wav", "один", 1.0),
        (folder / "audio" / "b.wav", "два, три", 2.0),
    ]
    assert manifest.skipped == ()
    assert is_table(folder / f"m{suffix}")


def test_all_that_a_row_says_is_kept(folder: Path) -> None:
    row = {
        "audio_filepath": "audio/a.wav",
        "duration": 1,
        "text": " ja  so\n",
        "source_lang": "de",
        "target_lang": "de",
    }
    extra = {"pnc": "yes", "wer": 0.5, "nested": {"x": [1]}, "empty": ""}
    path = put(folder / "m.jsonl", jsonl({**row, **extra, "speaker_id": 17}))
    assert read_manifest(path).utterances == (
        Utterance(
            audio=folder / "audio" / "a.wav",
            text="ja so",
            duration_s=1.0,
            language="de",
            speaker="17",
            source=f"{path}:1",
            extra={"source_lang": "de", "target_lang": "de", "pnc": "yes", "wer": 0.5, "nested": {"x": [1]}},
        ),
    )  # fmt: skip


def test_several_manifests_become_one_in_order(folder: Path) -> None:
    paths = [
        put(folder / "1.jsonl", jsonl({"audio": "audio/b.wav", "text": "b"})),
        put(folder / "2.csv", "path,text\naudio/a.wav,a\n"),
    ]
    assert [u.text for u in read_manifest(paths).utterances] == ["b", "a"]
    assert [u.source for u in read_manifest(paths).utterances] == [f"{paths[0]}:1", f"{paths[1]}:2"]


def test_same_row_twice_stays_twice(folder: Path) -> None:
    row = {"audio": "audio/a.wav", "text": "a"}
    assert len(read_manifest(put(folder / "m.jsonl", jsonl(row, row))).utterances) == 2


@pytest.mark.parametrize("slow_disk_s", [0.0, 1e9])
def test_many_rows_keep_their_order_also_on_a_slow_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, slow_disk_s: float
) -> None:
    monkeypatch.setattr("eartune.manifest.read.SLOW_DISK_S", slow_disk_s)
    for n in range(200):
        wav(folder / f"{n}.wav", 0.1 + n / 1000)
    path = put(folder / "m.csv", "path,text\n" + "".join(f"{n}.wav,{n}\n" for n in range(200)))
    utterances = read_manifest(path).utterances
    assert [u.audio.stem for u in utterances] == [u.text for u in utterances] == [str(n) for n in range(200)]
    assert [u.duration_s for u in utterances] == pytest.approx([0.1 + n / 1000 for n in range(200)])


# --- where recordings are


def test_recording_is_found_from_the_working_directory_if_only_that_has_it(folder: Path) -> None:
    wav(Path.cwd() / "audio" / "here.wav")
    wav(Path.cwd() / "audio" / "a.wav", 7)
    path = put(folder / "m.csv", "path,text\naudio/here.wav,x\naudio/a.wav,y\n")
    assert [u.audio for u in read_manifest(path).utterances] == [
        Path.cwd() / "audio" / "here.wav",
        folder / "audio" / "a.wav",
    ]


def test_manifest_may_be_named_from_the_working_directory(folder: Path) -> None:
    put(folder / "m.csv", "path,text\n../data/audio/a.wav,x\n")
    (utterance,) = read_manifest("../data/m.csv").utterances
    assert utterance.audio == folder / "audio" / "a.wav"
    assert utterance.source == f"{Path('../data/m.csv')}:2"


def test_absolute_path_of_another_machine_names_the_file_beside(folder: Path) -> None:
    wav(folder / "clip.wav")
    path = put(folder / "m.jsonl", jsonl({"audio_filepath": "/workspace/golos/clip.wav", "text": "x"}))
    assert findings(path) == [
        "m.jsonl:1: clip.wav: no such file; a file of that name is beside the manifest: write 'clip.wav'"
    ]


# --- times


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, (0.0, 40.0, False)),
        ({"duration": 40.4}, (0.0, 40.0, False)),
        ({"duration": "39.7"}, (0.0, 40.0, False)),
        ({"offset": 0}, (0.0, 40.0, True)),
        ({"offset": 0, "duration": 3}, (0.0, 3.0, True)),
        ({"offset": 12.5}, (12.5, 27.5, True)),
        ({"offset": 12.5, "duration": 3.25}, (12.5, 3.25, True)),
        ({"offset": 38, "duration": 2.3}, (38.0, 2.0, True)),
    ],
)
def test_offset_makes_a_segment(folder: Path, row: dict[str, object], expected: tuple[float, float, bool]) -> None:
    path = put(folder / "m.jsonl", jsonl({"audio": "audio/long.wav", "text": "x", **row}))
    (utterance,) = read_manifest(path).utterances
    assert (utterance.offset_s, utterance.duration_s, utterance.is_cut) == expected


@pytest.mark.parametrize(
    ("row", "finding"),
    [
        ({"duration": -2}, "duration -2 s is not positive and finite"),
        ({"duration": 0}, "duration 0 s is not positive and finite"),
        ({"duration": "nan"}, "duration nan s is not positive and finite"),
        ({"duration": float("inf")}, "duration inf s is not positive and finite"),
        ({"duration": "long"}, "duration is 'long', not a number of seconds"),
        ({"duration": True}, "duration is True, not a number of seconds"),
        ({"duration": [1]}, "duration is [1], not a number of seconds"),
        ({"duration": 12}, "duration 12 s is declared, and long.wav lasts 40.00 s; give an offset for a part"),
        ({"duration": 9000}, "duration 9000 s is declared, and long.wav lasts 40.00 s"),
        ({"offset": -1}, "offset -1 s is not a position in a recording"),
        ({"offset": 40}, "offset 40 s is beyond the end of long.wav, which lasts 40.00 s"),
        ({"offset": 38, "duration": 3}, "offset 38 s + duration 3 s = 41 s, and long.wav lasts 40.00 s"),
    ],
)
def test_wrong_times(folder: Path, row: dict[str, object], finding: str) -> None:
    path = put(folder / "m.jsonl", jsonl({"audio": "audio/long.wav", "text": "x", **row}))
    (found,) = findings(path)
    assert found.startswith(f"m.jsonl:1: {finding}")


def test_longest_duration(folder: Path) -> None:
    path = put(folder / "m.csv", "path,text\naudio/a.wav,x\naudio/long.wav,y\n")
    assert findings(path, max_duration_s=30) == [
        "m.csv:3: duration 40.0 s exceeds max_duration_s 30; split it or raise the limit"
    ]
    assert len(read_manifest(path, max_duration_s=40).utterances) == 2


# --- languages


@pytest.mark.parametrize(
    ("column", "name", "code"),
    [
        ("language", "ru", "ru"),
        ("lang", "RU", "ru"),
        ("language", "Russian", "ru"),
        ("language", "русский", "ru"),
        ("locale", "ru-RU", "ru"),
        ("target_lang", "rus", "ru"),
        ("lang", "zh_Hans_CN", "zh"),
        ("lang", "Haitian Creole", "ht"),
        ("lang", "jw", "jv"),
        ("lang", "haw", "haw"),
        ("lang", "", "en"),
        ("lang", None, "en"),
    ],
)
def test_languages_become_codes(folder: Path, column: str, name: str | None, code: str) -> None:
    path = put(folder / "m.jsonl", jsonl({"audio": "audio/a.wav", "text": "x", column: name}))
    assert read_manifest(path, default_language="English").utterances[0].language == code


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("rusian", "language 'rusian' is not known; .* Did you mean russian"),
        ("to be told", "language 'to be told' is not known"),
        (5, "the language is 5, not a name or code"),
    ],
)
def test_unknown_languages(folder: Path, name: object, finding: str) -> None:
    path = put(folder / "m.jsonl", jsonl({"audio": "audio/a.wav", "text": "x", "lang": name}))
    (found,) = findings(path)
    assert re.search(finding, found)


def test_default_language_is_checked_first(folder: Path) -> None:
    with pytest.raises(InputError, match="language 'klingon' is not known"):
        read_manifest(folder / "missing.jsonl", default_language="klingon")


# --- bad rows


def test_all_findings_come_together_with_their_lines(folder: Path) -> None:
    put(folder / "words.wav", "I am text")
    cut = wav(folder / "cut.wav", 4)
    cut.write_bytes(cut.read_bytes()[:20000])
    path = put(
        folder / "m.jsonl",
        '{"audio": "audio/a.wav", "text": "fine"}\n'
        '{"audio": "audio/none.wav", "text": "x"}\n'
        '{"audio": "audio/a.wav", "text": null}\n'
        "\n"
        '{"audio": "audio/a.wav", "text": "x"\n'
        '{"audio": "words.wav", "text": "x"}\n'
        '{"audio": "cut.wav", "text": "x"}\n'
        '{"audio": 5, "text": ["x"], "duration": "y"}\n'
        '{"text": "x"}\n'
        '{"audoi": "audio/a.wav", "txt": "x"}\n'
        "[1, 2]\n"
        '{"audio": "", "text": null}\n'
        '{"audio": "audio", "text": "\\ud83d"}\n'
        '{"audio": "audio", "text": "x"}\n'
        '{"audio": "a\\u0000", "text": "x"}\n'
        '{"audio": "a\\ud800", "text": "x"}\n',
    )
    expected = [
        "m.jsonl:2: none.wav: no such file",
        "m.jsonl:3: the text is missing (null); an empty text in quotes means that nobody speaks",
        "m.jsonl:5:37: is not valid JSON: expecting ',' delimiter",
        "m.jsonl:6: words.wav: is text, not audio; it begins with 'I am text'",
        "m.jsonl:7: cut.wav: is cut short: the header declares 64000 bytes of audio, but the file has 19956 "
        "(1.2 s of 4.0 s); get the file again",
        "m.jsonl:8: the path of the recording is 5, not text; the text is ['x']; write it in quotes; "
        "duration is 'y', not a number of seconds",
        "m.jsonl:9: no recording: no column with the recordings (audio_filepath, audio, path, file_name, ...); "
        "columns found: text.",
        "m.jsonl:10: no recording: no column with the recordings (audio_filepath, audio, path, file_name, ...); "
        "columns found: audoi, txt. Did you mean audio?; no column with the transcripts "
        "(text, sentence, transcript, transcription, ...); columns found: audoi, txt. Did you mean text?",
        "m.jsonl:11: is not a JSON object: [1, 2]",
        "m.jsonl:12: no recording: its path is empty; the text is missing (null); an empty text in quotes means that "
        "nobody speaks",
        "m.jsonl:13: '\\ud83d' holds half of a character (a lone surrogate); write it in UTF-8",
        "m.jsonl:14: audio: is a directory, not a recording",
        "m.jsonl:15: the path of the recording holds characters that no path can: 'a\\x00'",
        "m.jsonl:16: 'a\\ud800' holds half of a character (a lone surrogate); write it in UTF-8",
    ]
    assert findings(path) == expected
    manifest = read_manifest(path, skip_bad=True)
    assert [u.text for u in manifest.utterances] == ["fine"]
    assert len(manifest.skipped) == len(expected)


def test_error_counts_the_rows_and_says_what_to_do(folder: Path) -> None:
    path = put(folder / "m.csv", "path,text\naudio/a.wav,x\nnone.wav,y\n")
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    assert str(caught.value).splitlines()[0] == "1 of 2 rows cannot be used:"
    assert str(caught.value).splitlines()[-1] == "Fix these rows, or skip them with skip_bad (--skip-bad)."


def test_nothing_left_is_an_error_also_with_skip_bad(folder: Path) -> None:
    path = put(folder / "m.csv", "path,text\nnone.wav,x\n")
    assert findings(path, skip_bad=True) == ["m.csv:2: none.wav: no such file"]


def test_items_of_a_list_are_counted(folder: Path) -> None:
    path = put(
        folder / "m.json", json.dumps([{"audio": "audio/a.wav", "text": "x"}, {"audio": "none.wav", "text": "x"}, 3])
    )
    assert findings(path) == ["m.json: item 2: none.wav: no such file", "m.json: item 3: is not a JSON object: 3"]


def test_lines_of_a_table_count_line_feeds_in_quotes(folder: Path) -> None:
    path = put(
        folder / "m.csv",
        'path,text\naudio/a.wav,"one\ntwo\r\nthree"\nnone.wav,x\naudio/c.wav,"\n\n"\n\nnone2.wav,x\n',
    )
    assert findings(path) == [
        "m.csv:5: none.wav: no such file",
        "m.csv:6: c.wav: no such file",
        "m.csv:10: none2.wav: no such file",
    ]


def test_line_separators_inside_a_text_are_no_lines(folder: Path) -> None:
    row = {"audio": "audio/a.wav", "text": "one\u2028two\x85three\x0bfour"}
    path = put(folder / "m.jsonl", jsonl(row, {"audio": "none.wav", "text": "x"}))
    assert findings(path) == ["m.jsonl:2: none.wav: no such file"]


def test_quote_that_is_never_closed(folder: Path) -> None:
    path = put(folder / "m.csv", 'path,text\naudio/a.wav,fine\naudio/a.wav,"open\naudio/b.wav,lost\n')
    (found,) = findings(path)
    assert found.startswith("m.csv:3: broken table: unexpected end of data; is a quote opened and not closed?")
    assert "read up to line 4" in found


def test_row_wider_than_its_header(folder: Path) -> None:
    path = put(folder / "m.csv", "path,text\naudio/a.wav,yes, it is\naudio/a.wav,fine,,\n")
    assert findings(path) == ["m.csv:2: has 3 cells under 2 columns; put text with a delimiter in quotes"]


def test_quotes_in_a_tab_table_are_letters(folder: Path) -> None:
    path = put(
        folder / "validated.tsv",
        "path\tsentence\tlocale\n"
        'audio/a.wav\t"Nein", sagte sie.\tde\naudio/b.wav\tEin 5" Rohr\tde\naudio/a.wav\t"Ja."\tde\n',
    )
    assert [u.text for u in read_manifest(path).utterances] == ['"Nein", sagte sie.', 'Ein 5" Rohr', "Ja."]


def test_quotes_in_a_tab_table_of_a_spreadsheet_are_quotes(folder: Path) -> None:
    path = put(folder / "m.tsv", 'path\ttext\naudio/a.wav\t"one\ntwo"\naudio/b.wav\t"He said ""hi"""\n')
    assert [u.text for u in read_manifest(path).utterances] == ["one two", 'He said "hi"']


def test_bytes_that_are_no_utf8(folder: Path) -> None:
    path = put(folder / "m.csv", b"path,text\naudio/a.wav,fine\n" + "audio/a.wav,привет\n".encode("cp1251"))
    assert findings(path) == ["m.csv:3: is not UTF-8 (byte 0xef at column 1); save the file as UTF-8"]
    path = put(folder / "m.jsonl", b'{"audio": "audio/a.wav", "text": "caf\xe9"}\n')
    assert findings(path) == ["m.jsonl:1: is not UTF-8 (byte 0xe9 at column 38); save the file as UTF-8"]
    path = put(folder / "m.json", b'[\n{"audio": "audio/a.wav", "text": "caf\xe9"}]\n')
    assert findings(path) == ["m.json:2: is not UTF-8 (byte 0xe9 at column 38); save the file as UTF-8"]


# --- files that are not manifests


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", "m.csv: holds no rows"),
        (b"\xef\xbb\xbf\n \n", "m.csv: holds no rows"),
        (b"path,text\n", "m.csv: holds no rows"),
        (b"[]", "m.csv: holds no rows"),
        ("path,text\n".encode("utf-16"), "m.csv:1: is UTF-16; save it as UTF-8"),
        (b"RIFF\x00\x01", "m.csv: is not text; give a manifest in JSON lines, JSON, CSV or TSV"),
        (b'[\n{"audio": 1,\n}]', "m.csv:3:1: is not valid JSON: illegal trailing comma"),
        (b'[\n{"audio": 1,,\n}]', "m.csv:2:13: is not valid JSON: "),
        (
            b"pth,sentense\na.wav,x\n",
            "m.csv:1: no column with the recordings (audio_filepath, audio, path, file_name, ...); "
            "columns found: pth, sentense. Did you mean path?",
        ),
        (
            b"path;language\na.wav;en\n",
            "m.csv:1: no column with the transcripts (text, sentence, transcript, transcription, ...); "
            "columns found: path, language.",
        ),
    ],
)
def test_unusable_file(folder: Path, content: bytes, finding: str) -> None:
    path = put(folder / "m.csv", content)
    found = findings(path, skip_bad=True)
    if "trailing comma" not in finding:  # the wording of Python 3.13
        assert found[0].startswith(finding)
    assert not is_table(path)


def test_table_without_names_of_columns_says_what_a_table_is(folder: Path) -> None:
    path = put(folder / "m.csv", "audio/none.wav,x\n")
    assert findings(path)[-1] == "A table begins with a line that names its columns, such as path,text,language."


def test_missing_manifest_names_the_nearest_file(folder: Path) -> None:
    put(folder / "train.jsonl", "")
    assert findings(folder / "trian.jsonl") == ["trian.jsonl: no such file. Did you mean train.jsonl?"]
    assert findings(folder / "no" / "x.jsonl") == ["x.jsonl: no such file."]


def test_directory_in_the_place_of_a_manifest(folder: Path) -> None:
    (found,) = findings(folder)
    assert found.startswith("data: is a directory; give a manifest, such as ")


def test_no_manifest_at_all() -> None:
    assert findings([]) == ["no manifest is given"]


def test_unreadable_files_are_reported_together(folder: Path) -> None:
    paths = [folder / "missing", put(folder / "2.csv", ""), put(folder / "3.csv", "path,text\naudio/a.wav,x\n")]
    assert findings(paths) == ["missing: no such file.", "2.csv: holds no rows"]


# --- writing


def test_written_rows_have_nemos_keys_and_portable_paths(folder: Path) -> None:
    utterances = (
        Utterance(folder / "audio" / "a.wav", "ё", 1.0, "ru", speaker="M", extra={"pnc": "no", "text": "not this"}),
        Utterance(folder / "audio" / "long.wav", "x", 2.50004, None, 0.0, is_cut=True),
        Utterance(folder / "audio" / "long.wav", "x", 2.5, None, 2.5, is_cut=True),
    )
    write_manifest(folder / "out" / "train.jsonl", utterances)
    assert (folder / "out" / "train.jsonl").read_bytes().decode().splitlines() == [
        '{"audio_filepath": "../audio/a.wav", "duration": 1.0, "text": "ё", "lang": "ru", "speaker": "M", "pnc": "no"}',
        '{"audio_filepath": "../audio/long.wav", "duration": 2.5, "text": "x", "offset": 0.0}',
        '{"audio_filepath": "../audio/long.wav", "duration": 2.5, "text": "x", "offset": 2.5}',
    ]


def test_folder_with_its_manifest_can_be_moved(folder: Path) -> None:
    write_manifest(folder / "train.jsonl", [Utterance(folder / "audio" / "a.wav", "x", 1.0, None)])
    moved = folder.rename(folder.parent / "moved")
    assert read_manifest(moved / "train.jsonl").utterances[0].audio == moved / "audio" / "a.wav"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_do_not_lead_astray(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    (folder / "audio" / "linked.wav").symlink_to(folder / "audio" / "a.wav")
    write_manifest(tmp_path / "link" / "m.jsonl", [Utterance(folder / "audio" / "linked.wav", "x", 1.0, None)])
    (utterance,) = read_manifest(tmp_path / "link" / "m.jsonl").utterances
    assert utterance.audio == folder / "audio" / "linked.wav"


@pytest.mark.skipif(os.name == "nt", reason="there names are always text")
def test_name_that_is_no_text_is_a_finding(folder: Path) -> None:
    with pytest.raises(InputError, match=r"x:1: cannot be written as UTF-8: .*\\udcff.*rename"):
        write_manifest(folder / "m.jsonl", [Utterance(folder / "\udcff.wav", "x", 1.0, None, source="x:1")])


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda s: " ".join(s.split())).filter(bool)
speakers = texts.filter(lambda name: not is_written_for_missing(name))
extras = st.dictionaries(
    st.sampled_from(["pnc", "source_lang", "target_lang", "split", "Заметка"]),
    st.integers() | texts | st.lists(st.booleans(), min_size=1),
)


@given(st.lists(st.tuples(texts, st.sampled_from([None, "en", "ru", "haw"]), st.none() | speakers, extras), min_size=1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_reads_the_same(
    folder: Path, rows: list[tuple[str, str | None, str | None, dict[str, Any]]]
) -> None:
    written = tuple(
        Utterance(folder / "audio" / "long.wav", text, 1.5, language, 0.25 * number, speaker, "", extra, is_cut=True)
        for number, (text, language, speaker, extra) in enumerate(rows)
        if language is not None or not {"source_lang", "target_lang"} & extra.keys()
    )
    if not written:
        return
    write_manifest(folder / "m.jsonl", written)
    read = read_manifest(folder / "m.jsonl").utterances
    assert [(u.audio, u.text, u.duration_s, u.language, u.offset_s, u.speaker, u.extra, u.is_cut) for u in read] == [
        (u.audio, u.text, u.duration_s, u.language, u.offset_s, u.speaker, u.extra, u.is_cut) for u in written
    ]


# --- real corpora


@pytest.fixture
def copied(shared_dir: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        target = tmp_path / Path(name).name
        target.write_bytes((shared_dir / "samples" / name).read_bytes())
        return target

    return copy


@pytest.mark.real_speech
def test_line_of_golos(copied: Callable[[str], Path]) -> None:
    audio = copied("golos/001ce26c07c20eaa0d666b824c6c6924.wav")
    path = copied("golos/example1.json")
    assert "a file of that name is beside the manifest" in findings(path)[0]
    path.write_text(path.read_text(encoding="utf-8").replace("/workspace/golos/examples/data/", ""), encoding="utf-8")
    (utterance,) = read_manifest(path, default_language="ru").utterances
    assert (utterance.audio, utterance.duration_s) == (audio, 4.0)
    assert utterance.text == "шестьдесят тысяч тенге сколько будет стоить"


@pytest.mark.real_speech
def test_deepspeech_table_of_common_voice(copied: Callable[[str], Path]) -> None:
    path = copied("ru_cv.csv")
    copied("ru_cv.wav").rename(path.parent / "ru.wav")
    (utterance,) = read_manifest(path).utterances
    assert utterance.text == "бедняга ребят на его месте должен был быть я"
    assert utterance.extra == {"wav_filesize": "0"}


@pytest.mark.real_speech
def test_english_prompts(shared_dir: Path) -> None:
    paths = [shared_dir / "data" / "prompts-en" / f"{split}.jsonl" for split in ("train", "val", "test")]
    manifest = read_manifest(paths)
    assert len(manifest.utterances) == 520
    assert {u.language for u in manifest.utterances} == {"en"}
