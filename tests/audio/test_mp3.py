"""MP3s are walked through frame by frame: what is there is read, from any place, as the whole file is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from eartune.audio import decode, probe
from eartune.audio.mp3 import read_mp3

from .test_lengths import ID3, check_refused, check_whole
from .waves import RATE_HZ, chirp, cut, find, joined, put, write


def without_header(path: Path) -> Path:
    mpeg = read_mp3(path)
    assert mpeg is not None
    path.write_bytes(path.read_bytes()[mpeg.parts[0].frames[0] :])
    return path


def promise(path: Path, factor: float) -> None:
    """Let the Xing header promise another number of frames."""
    mpeg = read_mp3(path)
    assert mpeg is not None
    at = find(path, b"Xing") if b"Xing" in path.read_bytes() else find(path, b"Info")
    put(path, at + 8, ">I", round(len(mpeg.parts[0].frames) * factor))


def as_vbri(path: Path) -> None:
    """Put Fraunhofer's header in the place of Xing's."""
    mpeg = read_mp3(path)
    assert mpeg is not None
    part = mpeg.parts[0]
    if not part.header:  # frames too short for one
        return
    content = bytearray(path.read_bytes())
    content[4 : part.frames[0]] = bytes(part.frames[0] - 4)
    content[36:40] = b"VBRI"
    content[46:54] = (0).to_bytes(4, "big") + len(part.frames).to_bytes(4, "big")
    path.write_bytes(content)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_length_is_that_of_libsndfile(tmp_path: Path, rate_hz: int, channels: int, mode: str) -> None:
    samples = np.stack([chirp(1.3, rate_hz)] * channels, axis=1)
    path = write(tmp_path / "x.mp3", samples, rate_hz, bitrate_mode=mode)
    mpeg = read_mp3(path)
    assert mpeg is not None
    assert mpeg.num_samples == soundfile.info(path).frames == len(samples)


@pytest.mark.parametrize("between", [b"", ID3, b"TAG" + bytes(125), b"\0" * 700])
def test_mp3s_behind_one_another(tmp_path: Path, between: bytes) -> None:
    a, b = write(tmp_path / "a.mp3", chirp(2)), write(tmp_path / "b.mp3", chirp(3.1))
    path = joined(tmp_path / "abab.mp3", a, b, a, b, between=between)
    check_whole(path, 10.2)
    np.testing.assert_allclose(decode(path), np.concatenate([decode(p) for p in (a, b, a, b)]), atol=1e-6)


@pytest.mark.parametrize("between", [b"", ID3])
def test_mp3s_behind_one_another_of_which_only_the_first_has_a_header(tmp_path: Path, between: bytes) -> None:
    a, b = write(tmp_path / "a.mp3", chirp(2)), without_header(write(tmp_path / "b.mp3", chirp(3)))
    check_whole(joined(tmp_path / "ab.mp3", a, b, between=between), 5, within_s=0.15)


@pytest.mark.parametrize(
    "other", [lambda p: write(p, chirp(2, 8000), 8000), lambda p: write(p, np.stack([chirp(2)] * 2, axis=1))]
)
def test_mp3s_of_different_kinds_behind_one_another(tmp_path: Path, other: Callable[[Path], Path]) -> None:
    a, b = write(tmp_path / "a.mp3", chirp(2)), other(tmp_path / "b.mp3")
    message = "changes from .* to .* after 2.0 s: it consists of several concatenated recordings; split it"
    check_refused(joined(tmp_path / "ab.mp3", a, b), message)
    check_refused(joined(tmp_path / "ab.mp3", a, without_header(b)), message)


@pytest.mark.parametrize("factor", [0, 0.2, 0.99, 1])
def test_header_that_promises_less(tmp_path: Path, factor: float) -> None:
    path = write(tmp_path / "x.mp3", chirp(5))
    before = decode(path)
    promise(path, factor)
    check_whole(path, 5)
    np.testing.assert_allclose(decode(path), before, atol=1e-6)


def test_header_that_promises_more(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp3", chirp(5))
    promise(path, 2)
    check_refused(path, r"is cut short: the header declares .* \(5\.1 s of 10\.2 s\)")


def test_vbri_header(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp3", chirp(5))
    as_vbri(path)
    check_whole(path, 5, within_s=0.15)
    assert len(decode(path, offset_s=4.5)) == pytest.approx(0.5 * RATE_HZ, abs=0.15 * RATE_HZ)


@pytest.mark.parametrize("prepare", [lambda p: p, without_header])
@pytest.mark.parametrize("num_bytes", [1, 50, 3000])
def test_cut_inside_a_frame(tmp_path: Path, prepare: Callable[[Path], Path], num_bytes: int) -> None:
    path = cut(prepare(write(tmp_path / "x.mp3", chirp(5))), num_bytes)
    check_refused(path, r"is cut short: .*(after [2345]\.\d\d s|of 5\.\d s)")


@pytest.mark.parametrize("prepare", [lambda p: p, without_header, as_vbri])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_cut_is_the_same_stretch_of_the_whole(
    tmp_path: Path, prepare: Callable[[Path], object], rate_hz: int, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 12 * rate_hz).astype(np.float32)
    path = write(tmp_path / "x.mp3", chirp(12, rate_hz) + noise, rate_hz, bitrate_mode=mode, compression_level=0.9)
    prepare(path)
    everything = decode(path)
    for offset_s in (0, 0.01, 1, 5.43, 11.5):
        stretch = decode(path, offset_s=offset_s, duration_s=0.4)
        expected = everything[round(offset_s * RATE_HZ) :][: len(stretch)]
        # a resampler sees nothing beyond the edges of a stretch
        inner, tolerance = (slice(None), 1e-6) if rate_hz == RATE_HZ else (slice(300, -300), 1e-4)
        np.testing.assert_allclose(stretch[inner], expected[inner], atol=tolerance)
    assert capfd.readouterr().err == ""


def test_stream_that_begins_in_the_middle(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = without_header(write(tmp_path / "x.mp3", chirp(5)))
    path.write_bytes(path.read_bytes()[1234:])
    mpeg = read_mp3(path)
    assert mpeg is not None
    check_whole(path, mpeg.num_samples / RATE_HZ)
    assert 3 < probe(path).duration_s < 4.9
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_other_formats_behind_an_mp3(tmp_path: Path, suffix: str) -> None:
    a, b = write(tmp_path / "a.mp3", chirp(2)), write(tmp_path / f"b.{suffix}", chirp(3))
    check_refused(joined(tmp_path / "ab.mp3", a, b), "several concatenated recordings, in different formats")


@pytest.mark.parametrize("junk", [b"junk" * 20, bytes(5000), ID3 * 3])
def test_junk_around_an_mp3(tmp_path: Path, junk: bytes) -> None:
    path = write(tmp_path / "x.mp3", chirp(5))
    path.write_bytes(junk + path.read_bytes() + junk)
    check_whole(path, 5)


def test_header_frame_that_is_cut_off(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.mp3", chirp(2)), write(tmp_path / "b.mp3", chirp(3))
    mpeg = read_mp3(a)
    assert mpeg is not None
    a.write_bytes(a.read_bytes()[: mpeg.parts[0].frames[0] - 10])
    check_refused(joined(tmp_path / "ab.mp3", a, b), r"of which one is cut short \(0\.0 s of 2\.1 s\)")
    check_refused(a, "is cut short|neither libsndfile nor FFmpeg can read it|holds no audio")
