"""Times of sentences and marks in texts are read as what they mean, or refused by name."""

from pathlib import Path

import pytest

from eartune.manifest import Segment, read_manifest, write_manifest
from eartune.manifest.remarks import notes_in_brackets, text_remarks, times_asked_for

from .conftest import Read, Refused

PARTS = (Segment(0.0, 1.2, "good morning"), Segment(1.5, 3.0, "everyone"))
LISTED = [{"start": 0, "end": 1.2, "text": "good morning"}, {"start": 1.5, "end": 3.0, "text": "everyone"}]
TIMESTAMPS = [{"timestamp": [0, 1.2], "text": "good morning"}, {"timestamp": (1.5, 3), "text": "everyone"}]
MARKED = "<|0.00|> good morning<|1.20|><|1.50|> everyone<|3.00|>"


@pytest.mark.parametrize(
    "row",
    [
        {"text": "good morning everyone", "sentences": LISTED},
        {"text": "Good morning, everyone!", "segments": LISTED},
        {"text": None, "segments": LISTED},
        {"text": None, "chunks": TIMESTAMPS},
        {"text": MARKED},
        {"text": f"<|startoftranscript|><|en|><|transcribe|>{MARKED}<|endoftext|>", "lang": "en"},
        {"text": f"<|startoftranscript|><|en|><|transcribe|>{MARKED}<|endoftext|>"},
    ],
)  # fmt: skip
def test_parts_with_times(read: Read, row: dict[str, object]) -> None:
    (utterance,) = read(row)
    assert utterance.segments == PARTS
    assert utterance.text.lower().replace(",", "").strip("!") == "good morning everyone"


def test_parts_as_json_in_a_table(read: Read) -> None:
    table = 'path|text|segments\ncall.wav|good morning|[{"start": 0, "end": 1, "text": "good morning"}]\n'
    assert read(table=table)[0].segments == (Segment(0.0, 1.0, "good morning"),)


def test_times_that_count_from_the_recording_are_moved(read: Read) -> None:
    (utterance,) = read({"text": None, "start": 5, "end": 8, "segments": [{"start": 5.5, "end": 7, "text": "one"}]})
    assert utterance.segments == (Segment(0.5, 2.0, "one"),)


def test_parts_are_written_and_read_again(read: Read, tmp_path: Path) -> None:
    utterances = read({"text": MARKED, "channel": 1})
    write_manifest(tmp_path / "again.jsonl", utterances)
    (again,) = read_manifest(tmp_path / "again.jsonl").utterances
    assert (again.text, again.segments, again.channel) == ("good morning everyone", PARTS, 1)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("<|startoftranscript|><|en|><|transcribe|><|notimestamps|> good morning<|endoftext|>", "good morning"),
        ("good morning<|endoftext|>", "good morning"),
        ("<|nospeech|>", ""),
        ("<|startoftranscript|><|nospeech|><|endoftext|>", ""),
        ("", ""),
        ("  ", ""),
        # marks of other models are for their families
        ("<|0|> good <|5|>", "<|0|> good <|5|>"),
        ("<|en|>Transfer.", "<|en|>Transfer."),
    ],
)
def test_marks_of_a_prompt_and_of_silence(read: Read, text: str, bare: str) -> None:
    assert read({"text": text, "lang": "en"})[0].text == bare


def test_a_mark_names_the_language_where_the_row_does_not(read: Read) -> None:
    assert read({"text": "<|startoftranscript|><|de|><|transcribe|> guten Morgen"})[0].language == "de"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "<|0.00|> good morning"}, "do not come in pairs around words: <|0.00|>"),
        ({"text": "good <|0.00|> morning<|1.20|>"}, "has words outside its times"),
        ({"text": "<|0.00|> good<|1.20|> morning<|2.00|><|2.50|>"}, "do not come in pairs around words"),
        ({"text": "<|1.20|> good<|0.20|>"}, "part 1 of the text lasts from 1.2 s to 0.2 s: times must increase"),
        ({"text": "<|0.00|> good<|11.20|>"}, "'good' ends at 11.20 s, and the utterance is 10.00 s long"),
        ({"text": "<|startoftranscript|><|de|><|transcribe|> Tag", "lang": "en"}, "the text is marked <|de|>"),
        ({"text": "<|startoftranscript|><|de|><|translate|> hello"}, "the text holds <|translate|>"),
        ({"text": "<|nospeech|> hello"}, "has a token for no speech, and words"),
        ({"text": "[00:01.20] good morning"}, "the text holds printed times, '[00:01.20]'"),
        ({"text": "[00:00.000 --> 00:02.000] good morning"}, "the text holds printed times"),
        ({"text": "good", "sentences": LISTED}, "'good' differs from that of sentences, 'good morning everyone'"),
        ({"segments": [{"start": 0, "text": "good morning"}]}, "segments: part 1 is {'start': 0, 'text'"),
        ({"segments": ["good morning"]}, "segments: part 1 is 'good morning'; it needs start and end"),
        ({"segments": [LISTED[1], LISTED[0]]}, "from 0 s to 1.2 s, and the part before it to 3 s"),
        ({"text": None}, "the text is missing (null)"),
        ({"text": "good morning", "answer": "guten Morgen"}, "text is 'good morning' and answer is 'guten"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(refused: Refused, row: dict[str, object], said: str) -> None:
    assert said in refused(row)


@pytest.mark.parametrize("text", ["meet me at 10:30", "it was 5:4", "a < b | c > d", "version (1.2)", "[past]"])
def test_texts_without_marks_stay_as_they_are(read: Read, text: str) -> None:
    assert read({"text": text})[0].text == text


def test_two_texts_that_say_the_same_are_one(read: Read) -> None:
    assert read({"text": "Good morning.", "sentence": "good morning"})[0].text == "Good morning."


def test_oddities_are_remarked_with_their_number_and_first_place(call: Path) -> None:
    path = call.with_name("m.csv")
    path.write_text(
        "path,text,lang,speaker\ncall.wav,one,,nan\ncall.wav,\ncall.wav,two [noise],nan\ncall.wav,NaN\n",
        encoding="utf-8",
    )
    manifest = read_manifest(path)
    assert [remark.replace(str(call.parent), "") for remark in manifest.remarks] == [
        "1 of 4 rows have a text that stands for a missing one, such as nan or N/A; the first: /m.csv:5",
        "1 of 4 rows are in the language nan, Min Nan Chinese; if it stands for a missing value, leave it empty; "
        "the first: /m.csv:4",
    ]
    assert [remark.replace(str(call.parent), "") for remark in text_remarks(manifest.utterances)] == [
        "1 of 4 rows have an empty text, which means that nobody speaks in them; the first: /m.csv:3",
        "1 of 4 rows have notes in brackets in their texts, such as '[noise]': they are trained on, and not "
        "scored; the first: /m.csv:4",
    ]
    assert notes_in_brackets(manifest.utterances, known={"[noise]"}) == []
    assert [utterance.speaker for utterance in manifest.utterances] == [None] * 4


@pytest.mark.parametrize(
    ("value", "asks"), [("yes", 1), (True, 1), ("<|timestamp|>", 1), ("no", 0), (False, 0), ("", 0)]
)
def test_rows_that_ask_for_times(read: Read, value: object, asks: int) -> None:
    assert len(times_asked_for(read({"timestamp": value}))) == asks


def test_a_column_of_that_name_that_is_no_list_is_kept(read: Read) -> None:
    assert read({"segments": 5})[0].extra == {"segments": 5}
