"""Columns of times say which stretch of a recording a row means, whatever they are called; none is passed over."""

from pathlib import Path

import pytest

from eartune.errors import InputError
from eartune.manifest import read_manifest

from .conftest import Read, Refused


@pytest.mark.parametrize(
    "row",
    [
        {"start": 1, "end": 3},
        {"start": "1.0", "end": "3,0"},
        {"begin_time": 1.0, "end_time": 3.0},
        {"start_time": "0:01", "end_time": "00:00:03.000"},
        {"startTime": 1, "endTime": 3},
        {"Begin Time - ss.msec": "1.000", "End Time - ss.msec": "3.000", "Duration - ss.msec": "2.000"},
        {"Begin Time - hh:mm:ss.ms": "00:00:01.000", "End Time - hh:mm:ss.ms": "00:00:03.000"},
        {"start_ms": 1000, "end_ms": 3000},
        {"segment_start": 1, "segment_end": 3},
        {"tmin": 1, "tmax": 3},
        {"offset": 1, "duration": 2},
        {"start": 1, "duration": 2},
        {"start": 1, "duration_ms": 2000},
        {"start": 1, "end": 3, "duration": 2},
        {"start": 1, "end": 3, "duration": 10},
    ],
)
def test_a_stretch_under_any_name(read: Read, row: dict[str, object]) -> None:
    (utterance,) = read(row)
    assert (utterance.offset_s, utterance.duration_s, utterance.is_cut) == (1.0, 2.0, True)
    assert utterance.extra == {}


def test_an_end_alone_cuts_from_the_beginning(read: Read) -> None:
    (utterance,) = read({"end": 3})
    assert (utterance.offset_s, utterance.duration_s) == (0.0, 3.0)


def test_columns_of_a_table(read: Read) -> None:
    rows = read(table="path,text,start,end\ncall.wav,one,0,1.5\ncall.wav,two,1.5,10\n")
    assert [(u.text, u.offset_s, u.duration_s) for u in rows] == [("one", 0.0, 1.5), ("two", 1.5, 8.5)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"start": 3, "end": 1}, "end 1 s is not after start 3 s"),
        ({"start": 2}, "start gives the start of the speech, and no column gives its end; add a column end"),
        ({"start": "early", "end": 2}, "start is 'early', not a number of seconds"),
        ({"start": -1, "end": 2}, "start -1 s is not a position in a recording"),
        ({"start_sample": 8000, "end_sample": 16000}, "start_sample counts samples or frames; give seconds"),
        ({"frame_offset": 8000, "duration": 1}, "frame_offset counts samples or frames; give seconds"),
        ({"start": 1100, "end": 2960}, "are these milliseconds? name them start_ms and end_ms"),
        ({"start": 1, "end": 3, "duration": 4}, "duration 4 s is declared, and start and end are 2 s apart"),
        ({"start": 8, "end": 12}, "offset 8 s + duration 4 s = 12 s, and call.wav lasts 10.00 s"),
    ],
)
def test_what_is_no_stretch_is_refused_by_name(refused: Refused, row: dict[str, object], said: str) -> None:
    assert said in refused(row)


def test_the_hour_of_a_recording_is_no_stretch(read: Read) -> None:
    (utterance,) = read({"start_time": "2024-05-01T10:00:00Z"})
    assert (utterance.offset_s, utterance.duration_s, utterance.is_cut) == (0.0, 10.0, False)
    assert utterance.extra == {"start_time": "2024-05-01T10:00:00Z"}


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_times_that_are_missing(read: Read, missing: object) -> None:
    (utterance,) = read({"start": missing, "end": missing, "speaker": missing, "channel": missing})
    assert (utterance.duration_s, utterance.is_cut, utterance.speaker, utterance.channel) == (10.0, False, None, None)


@pytest.mark.parametrize(
    ("value", "channel"),
    [(0, 0), (1, 1), ("1", 1), (1.0, 1), ("A", 0), ("B", 1), ("right", 1), ([0], 0), ([0, 1], None), ("average", None)],
)
def test_channels(read: Read, value: object, channel: int | None) -> None:
    assert read({"channel": value})[0].channel == channel


def test_channels_counted_from_1(read: Read, call: Path) -> None:
    assert [u.channel for u in read({"channel": 1}, {"channel": 2})] == [0, 1]
    assert read_manifest(call.with_name("m.jsonl")).remarks == (
        "no row has channel 0, so 1 is read as the first channel",
    )
    assert [u.channel for u in read({"channel": 0}, {"channel": 1})] == [0, 1]


def test_channels_counted_from_0_and_from_1_in_one_manifest(read: Read) -> None:
    with pytest.raises(InputError, match=r"channel 2 does not exist: call\.wav has 2, the first is 0"):
        read({"channel": 0}, {"channel": 2})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "channel 3 does not exist: call.wav has 2, the first is 0"),
        ("both ears", "channel is 'both ears', not the number of a channel: the first is 0"),
        ([1, 0], "channel is [1, 0], not the number of a channel"),
        (True, "channel is True, not the number of a channel"),
        (-1, "channel is -1, not the number of a channel"),
    ],
)
def test_channels_that_are_none(refused: Refused, value: object, said: str) -> None:
    assert said in refused({"channel": value})
