"""Samples that cannot be meant are refused by name; what happens in good recordings is not."""

from pathlib import Path

import numpy as np
import pytest

from eartune.audio import Loudness, decode, decode_stretches
from eartune.errors import InputError

from .waves import RATE_HZ, Samples, write


def speech(seed: int, duration_s: float = 6) -> Samples:
    """Return noise in bursts of 0.2 s, as syllables come."""
    random = np.random.default_rng(seed)
    bursts = np.repeat(random.random(round(duration_s * 5)) > 0.4, RATE_HZ // 5)
    return (bursts * random.normal(0, 0.1, len(bursts))).astype(np.float32)


A, B = speech(1), speech(2)
NOISE = np.random.default_rng(3).normal(0, 0.02, len(A)).astype(np.float32)


def stereo(*channels: Samples) -> Samples:
    return np.stack(channels, axis=1)


def refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (2**15 - 1, "16-bit integers"),
        (2**23 - 1, "24-bit integers"),
        (2**31, "32-bit integers"),
        (20, "far too loud"),
        (1e20, "their scale is unknown"),
    ],
)
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_scale_of_integers(tmp_path: Path, factor: float, told: str, subtype: str) -> None:
    path = write(tmp_path / "x.wav", A.astype(np.float64) * factor, subtype=subtype)
    refused(path, rf"holds samples up to [\d.e+]+, where 1 is full scale: .*{told}; scale them to -1\.\.1")


def test_quiet_stretch_of_integers_is_known_by_their_being_whole(tmp_path: Path) -> None:
    refused(write(tmp_path / "x.wav", np.rint(30 * NOISE), subtype="FLOAT"), "where 1 is full scale")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 90_000])
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_no_numbers(tmp_path: Path, bad: float, place: int, rate_hz: int) -> None:
    samples = A.copy()
    samples[place] = bad
    refused(write(tmp_path / "x.wav", samples, rate_hz, subtype="FLOAT"), r"not numbers \(NaN or infinity\)")


@pytest.mark.parametrize("other", [-A, -A + NOISE, -0.8 * A, 0.3 - A])
def test_channels_that_cancel(tmp_path: Path, other: Samples) -> None:
    path = write(tmp_path / "x.wav", stereo(A, other), subtype="FLOAT")
    refused(path, r"has 2 channels that cancel one another .* in the column channel")
    assert len(decode(path, channel=0)) == len(A)


@pytest.mark.parametrize(
    "samples",
    [
        A * 1.8 / np.abs(A).max(),
        A + 0.3,
        stereo(A, 0 * A),
        stereo(A, A),
        stereo(A, B),
        stereo(A, np.roll(A, 40)),
        stereo(0 * A, 0 * A),
        stereo(*(np.roll(NOISE, 1000 * n) for n in range(8))),
        np.rint(A * 4) / 4,
    ],
)
def test_what_good_recordings_hold(tmp_path: Path, samples: Samples) -> None:
    path = write(tmp_path / "x.wav", samples, subtype="FLOAT")
    expected = samples if samples.ndim == 1 else samples.mean(axis=1)
    np.testing.assert_allclose(decode(path), expected, atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "ULAW", "ALAW"])
def test_integers_of_any_depth(tmp_path: Path, subtype: str) -> None:
    np.testing.assert_allclose(decode(write(tmp_path / "x.wav", A, subtype=subtype)), A, atol=0.02)


@pytest.mark.parametrize(
    ("samples", "different"),
    [
        (stereo(A, B), True),
        (stereo(A, 0.7 * A + NOISE / 10), False),
        (stereo(A, np.roll(A, 40)), False),
        (stereo(A, 0 * A), False),
        (stereo(A, 0.01 * B), False),
        (A, False),
    ],
)
def test_different_voices_on_two_channels(tmp_path: Path, samples: Samples, different: bool) -> None:
    (decoded,) = decode_stretches(write(tmp_path / "x.wav", samples), [(0, None)])
    assert decoded.loudness.different_voices is different


def test_loudness_comes_back_from_a_comment() -> None:
    loudness = Loudness(0.5, 0.1, 0.01, -0.2, 0.08, different_voices=True)
    assert Loudness.from_comment(loudness.to_comment()) == loudness


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "a song",
        "[]",
        "3",
        '{"peak": 0.5, "rms": 0.1, "clipped": 0.0}',
        '{"version": 2, "volume": 3}',
        "[" * 100_000,
    ],
)
def test_other_comments_are_no_loudness(comment: str) -> None:
    assert Loudness.from_comment(comment) is None
