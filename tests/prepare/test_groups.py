"""What must not be in two splits: stretches, bytes, recordings; and what a closed vocabulary is."""

from pathlib import Path

import pytest

from eartune.manifest import Utterance
from eartune.prepare.groups import clip_of, differing_texts, is_closed_vocabulary, same_contents
from eartune.prepare.split import SPLITS, split_utterances


def cut(recording: str, offset_s: float, text: str, duration_s: float = 2.0, speaker: str | None = None) -> Utterance:
    return Utterance(Path(recording), text, duration_s, offset_s=offset_s, source=f"m:{text}", speaker=speaker)


def spoken(texts: list[str], times: int, speakers: int = 0) -> list[Utterance]:
    return [
        cut(f"/{n}-{text}.wav", 0.0, text, speaker=f"s{n % speakers}" if speakers else None)
        for n in range(times)
        for text in texts
    ]


def test_overlapping_stretches_are_one_clip() -> None:
    utterances = [cut("/a.wav", 0, "a"), cut("/a.wav", 1, "b"), cut("/a.wav", 4, "c"), cut("/b.wav", 1, "d")]
    clip = clip_of(utterances, {})
    assert [len({clip(u) for u in utterances if u.text in pair}) for pair in ("ab", "bc", "bd")] == [1, 2, 2]


def test_stretches_that_touch_are_two_clips() -> None:
    utterances = [cut("/a.wav", 0, "a", 2.01), cut("/a.wav", 2, "b"), cut("/a.wav", 2, "c")]
    clip = clip_of(utterances, {})
    assert clip(utterances[0]) != clip(utterances[1]) == clip(utterances[2])


def test_files_of_the_same_bytes_are_one_recording(tmp_path: Path) -> None:
    for name, content in (("a", b"1" * 100), ("b", b"1" * 100), ("c", b"2" * 100), ("d", b"3" * 99)):
        (tmp_path / name).write_bytes(content)
    found = same_contents(sorted(tmp_path.iterdir()))
    assert found[tmp_path / "a"] == found[tmp_path / "b"] != found[tmp_path / "c"]
    assert tmp_path / "d" not in found


def test_recordings_are_kept_apart_also_where_their_texts_differ() -> None:
    utterances = [cut(f"/{n}.wav", 3.0 * k, f"text {n} {k}") for n in range(20) for k in range(3)]
    split = split_utterances(utterances)
    recordings = [{u.audio for u in split.utterances[name]} for name in SPLITS]
    assert sum(map(len, recordings)) == len(set().union(*recordings)) == 20
    assert "no recording is in two splits (20 recordings)" in split.notes


def test_copies_of_a_clip_are_never_in_two_splits(tmp_path: Path) -> None:
    utterances = []
    for n in range(60):
        path = tmp_path / f"{n}.wav"
        path.write_bytes(bytes([n % 20]) * 50)
        utterances.append(cut(str(path), 0.0, f"text {n}"))
    split = split_utterances(utterances)
    contents = [{u.audio.read_bytes() for u in split.utterances[name]} for name in SPLITS]
    assert sum(map(len, contents)) == len(set().union(*contents)) == 20


def test_one_long_recording_is_split_by_stretch_and_said() -> None:
    split = split_utterances([cut("/a.wav", 2.0 * n, f"text {n}") for n in range(100)])
    assert [len(split.utterances[name]) for name in SPLITS] == [80, 10, 10]
    assert any("the 1 recordings cannot be kept apart" in note for note in split.notes)


@pytest.mark.parametrize(
    ("utterances", "closed"),
    [
        (spoken(["zero", "one", "two", "three"], 20), True),
        (spoken([f"word{n}" for n in range(200)], 5), True),
        (spoken(["hey computer"], 50), True),
        # a new text is made of known words
        (spoken([f"turn {what} the {thing}" for what in ("on", "off") for thing in "abcdefghijklmno"], 9), False),
        # read by many, and long: to hear a sentence anew is what a test is for
        (spoken([f"a{n} b{n} c{n} d{n} and e{n}" for n in range(30)], 9), False),
        (spoken([f"word{n}" for n in range(200)], 1), False),
        ([], False),
        ([cut("/a.wav", 0, "")], False),
    ],
)
def test_closed_vocabularies(utterances: list[Utterance], closed: bool) -> None:
    assert is_closed_vocabulary(utterances) is closed


@pytest.mark.parametrize(("speakers", "note"), [(0, "split by clip"), (10, "no speaker is in two splits (10")])
def test_words_of_a_closed_vocabulary_are_in_all_splits(speakers: int, note: str) -> None:
    split = split_utterances(spoken([f"digit{n}" for n in range(10)], 40, speakers))
    assert min(len({u.text for u in split.utterances[name]}) for name in SPLITS) >= 9
    assert split.notes[0] == "closed vocabulary, 10 different texts in 400 rows: they are in all splits"
    assert split.notes[1].startswith(note)


def test_a_stretch_with_two_texts_is_remarked() -> None:
    utterances = [cut("/a.wav", 0, "one"), cut("/a.wav", 0, "One."), cut("/b.wav", 0, "two"), cut("/b.wav", 0, "three")]
    assert differing_texts(utterances) == [
        "1 recordings are in several rows with different texts, the first: m:two and m:three"
    ]


def test_what_the_splits_of_the_source_share_is_said() -> None:
    utterances = [
        Utterance(Path("/a.wav"), text, 2.0, source=text, extra={"split": split})
        for text, split in (("one", "train"), ("two", "test"))
    ]
    assert "1 stretches of recordings of test are also in train: scores on test will be too good" in (
        split_utterances(utterances).notes
    )
