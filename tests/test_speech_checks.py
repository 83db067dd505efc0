"""Speech and its text: what nobody can have said, silence with words, and what is only odd."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import eartune.speech_checks
from eartune.audio import Loudness, measure
from eartune.manifest import Utterance
from eartune.speech_checks import (
    cuts_remark,
    level_remarks,
    measure_utterances,
    remarks,
    shortest_s,
    sound_finding,
    text_finding,
)

RATE_HZ = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)


def utterance(
    text: str = "good morning", duration_s: float = 1.0, audio: str | Path = "/a.wav", **more: object
) -> Utterance:
    return Utterance(Path(audio), text, duration_s, **({"source": "m:7"} | more))


def write(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


# --- texts


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("what a fine morning it is", 0.03),
        ("good", 0.0),
        ("x" * 120, 2.0),
        ("今天天气很好我们去公园", 0.3),
        ("안녕하세요 반갑습니다", 0.2),
        ("8 800 555 35 35", 0.05),
        ("สวัสดีครับยินดีที่ได้รู้จัก", 0.2),
    ],
)
def test_text_that_nobody_speaks_in_that_time(text: str, duration_s: float) -> None:
    finding = text_finding(utterance(text, duration_s))
    assert finding is not None
    assert f"in {duration_s:.2f} s are faster than anyone speaks" in finding


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("", 0.01),
        ("yes", 0.1),
        ("three", 0.15),
        ("here speaks someone very fast indeed", 1.2),
        ("你好", 0.25),
        ("我们今天去公园玩好吗", 0.9),
        ("... --- !!! ???? ((((((((((((((((((((((((((((((((((((", 0.1),
        ("😀" * 50, 0.1),
    ],
)
def test_text_that_can_be_spoken(text: str, duration_s: float) -> None:
    assert text_finding(utterance(text, duration_s)) is None


def test_letters_and_syllables_are_counted_apart() -> None:
    assert shortest_s("abcd") == pytest.approx(4 / 40)
    assert shortest_s("你好啊 か 가") == pytest.approx(5 / 20)
    assert shortest_s("a, b!") == pytest.approx(2 / 40)


# --- sound


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (np.zeros(100), "is silent"),
        (np.full(100, 0.123456), r"has the same value in all samples (0.123456)"),
        (NOISE * 1e-4, "is silent"),
        (NOISE * 1e-4 + 0.2, "is silent"),
    ],
)
def test_silence_with_a_text(samples: np.ndarray, told: str) -> None:
    loudness = measure(samples.astype(np.float32))
    finding = sound_finding(utterance(), loudness)
    assert finding is not None
    assert f"a.wav {told}" in finding
    assert "but has a text" in finding
    assert sound_finding(utterance(""), loudness) is None


def test_soft_speech_is_no_finding() -> None:
    assert sound_finding(utterance(), measure(NOISE / 500)) is None


def test_remarks_have_a_count_and_the_first() -> None:
    fine = Loudness(0.5, 0.1, 0.0)
    rows = [
        (utterance(duration_s=3600.0, source="m:1"), fine),
        (utterance(duration_s=21.0, source="m:2"), Loudness(0.5, 0.3, 0.0, mean=0.2)),
        (utterance("", duration_s=3600.0, source="m:3"), Loudness(0.0, 0.0, 0.0)),
        (utterance(source="m:4"), Loudness(0.5, 0.1, 0.0, different_voices=True)),
        (utterance(source="m:5"), Loudness(1.0, 0.3, 0.1)),
        (utterance(source="m:6"), Loudness(0.002, 0.0005, 0.0)),
        (utterance(source="m:7"), None),
    ]
    utterances, loudness = zip(*rows, strict=True)
    slow, shifted, voices = remarks(utterances, loudness)
    assert slow.startswith("1 of 7 clips are far longer than their text")
    assert slow.endswith("the first: m:1")
    assert shifted.startswith("1 of 7 clips have a constant offset")
    assert shifted.endswith("the first: m:2")
    assert voices.startswith("1 of 7 clips have two channels that seem")
    assert voices.endswith("the first: m:4")
    assert level_remarks(utterances, loudness) == [
        "1 of 7 clips are silent, or nearly (below -60 dB); the first: m:6",
        "1 of 7 clips are clipped (samples at full scale); the first: m:5",
    ]


def test_many_cuts_of_what_cannot_be_begun_in_the_middle() -> None:
    rows = [utterance(audio="/long.ogg", offset_s=float(n), is_cut=True) for n in range(30)]
    (remark,) = cuts_remark(rows)
    assert remark.startswith("30 rows are cuts of 1 recordings (the first: long.ogg)")
    assert "eartune prepare cuts them once" in remark
    assert cuts_remark(rows[:5]) == cuts_remark([utterance(audio="/long.wav", is_cut=True)] * 50) == []


# --- measuring


def test_measurements_are_those_of_each_utterance(tmp_path: Path) -> None:
    long = write(tmp_path / "long.wav", np.concatenate([NOISE, 0 * NOISE, NOISE / 2]))
    broken = write(tmp_path / "broken.wav", NOISE * 1000)
    rows = [
        utterance(audio=long, offset_s=2.0, is_cut=True),
        utterance(audio=broken),
        utterance(audio=long, offset_s=1.0, is_cut=True),
        utterance("", audio=long, offset_s=1.0, is_cut=True),
        utterance(audio=long, offset_s=0.5, is_cut=True),
    ]
    measured = measure_utterances(rows)
    assert measured.num_measured == 5
    assert measured.loudness[0] == measure(NOISE / 2)
    assert measured.loudness[1] is None
    assert "where 1 is full scale" in measured.findings[1]
    assert "is silent" in measured.findings[2]
    assert [measured.findings[n] for n in (0, 3, 4)] == [None] * 3


def test_only_a_sample_of_much_speech_is_decoded(tmp_path: Path) -> None:
    rows = [utterance(audio=write(tmp_path / f"{n}.wav", NOISE)) for n in range(20)]
    first, again, other = (measure_utterances(rows, limit_s=5, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first.num_measured == sum(loudness is not None for loudness in first.loudness) == 5


def test_what_a_file_carries_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carried = Loudness(0.3, 0.2, 0.1, different_voices=True)
    with soundfile.SoundFile(tmp_path / "x.flac", "w", RATE_HZ, 1) as sound:
        sound.comment = carried.to_comment()
        sound.write(NOISE)
    plain = write(tmp_path / "y.flac", NOISE)
    rows = [utterance(audio=tmp_path / "x.flac"), utterance(audio=plain)]
    monkeypatch.setattr(eartune.speech_checks, "decode_stretches", None)
    measured = measure_utterances(rows, limit_s=0)
    assert measured.loudness == (carried, None)
