"""Lengths and samples, against what was written, against FFmpeg, and against files that lie about themselves."""

import pickle
import struct
import sys
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from eartune.audio import SAMPLE_RATE_HZ, AudioInfo, decode, is_far_off, probe
from eartune.audio.headers import read_header
from eartune.audio.mp3 import read_mp3
from eartune.errors import InputError

Samples = npt.NDArray[np.float32]

LOSSLESS = ["wav", "flac", "aiff", "sph", "w64"]
LOSSY = ["mp3", "ogg", "opus"]
OPTIONS = {"sph": {"format": "NIST", "subtype": "PCM_16"}, "opus": {"format": "OGG", "subtype": "OPUS"}}


def chirp(duration_s: float, rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """Return a tone that rises from 100 Hz, so that every moment differs from every other."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * (100 * t + 30 * t * t))).astype(np.float32)


def write(path: Path, samples: Samples, rate_hz: int = SAMPLE_RATE_HZ, **options: object) -> Path:
    soundfile.write(path, samples, rate_hz, **(OPTIONS.get(path.suffix[1:], {}) | options))
    return path


def write_with_ffmpeg(path: Path, samples: Samples, codec: str, container: str | None = None) -> Path:
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=SAMPLE_RATE_HZ)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.format, "mono", SAMPLE_RATE_HZ, size)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(piece))
    return path


def mp3_samples(path: Path) -> int:
    mpeg = read_mp3(path)
    assert mpeg is not None
    return mpeg.num_samples


def shift(later: Samples, earlier: Samples) -> int:
    """Return by how many samples the one lags behind the other, by their cross-correlation."""
    size = len(later) + len(earlier)
    product = np.fft.rfft(later, size) * np.conj(np.fft.rfft(earlier, size))
    at = int(np.fft.irfft(product, size).argmax())
    return at if at < size // 2 else at - size


def without_xing_header(path: Path) -> Path:
    content = path.read_bytes()
    second = content.index(content[:2], 4)
    path.write_bytes(content[second:])
    return path


def patch_sizes(path: Path, riff: int, data: int) -> Path:
    content = bytearray(path.read_bytes())
    content[4:8] = struct.pack("<I", riff)
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", data)
    path.write_bytes(content)
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


# --- files that are not recordings


@pytest.mark.parametrize("read", [probe, decode])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.wav", None, "no such file"),
        ("empty.wav", b"", r"is empty \(0 bytes\)"),
        ("words.wav", "привет, это текст".encode(), "is text, not audio; it begins with 'привет, это текст'"),
        ("cut.wav", "привет".encode()[:-1], "is text, not audio"),
        ("page.mp3", b"<!DOCTYPE html>\n<html>" + b" " * 600, "is text, not audio; it begins with '<!DOC"),
        ("lfs.flac", b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer.*run 'git lfs pull'"),
        ("noise.wav", b"\x00\xd3\x17" * 300, "neither libsndfile nor FFmpeg can read it"),
        ("head.wav", b"RIFF\x24\0\0\0WAVE", "neither libsndfile nor FFmpeg can read it"),
    ],
)  # fmt: skip
def test_message_names_the_file_and_what_it_is(
    tmp_path: Path, read: object, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("read", [probe, decode])
def test_directory(tmp_path: Path, read: object) -> None:
    with pytest.raises(InputError, match="is a directory, not a recording"):
        read(tmp_path)


@pytest.mark.parametrize("read", [probe, decode])
def test_no_samples(tmp_path: Path, read: object) -> None:
    path = write(tmp_path / "x.wav", np.zeros(0, np.float32))
    with pytest.raises(InputError, match=r"holds no audio \(0 samples\)"):
        read(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    samples = chirp(1)
    samples[100] = bad
    path = write(tmp_path / "x.wav", samples, subtype="FLOAT")
    with pytest.raises(InputError, match=r"samples that are not numbers \(NaN or infinity\)"):
        decode(path)


@pytest.mark.parametrize("read", [probe, decode])
def test_format_for_pyav_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: object) -> None:
    path = write_with_ffmpeg(tmp_path / "x.m4a", chirp(1), "aac")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"x\.m4a: libsndfile cannot read.*pip install eartune\[media\]"):
        read(path)


def test_film_without_sound(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame(16, 16, "yuv420p")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(InputError, match="holds no audio stream"):
        probe(tmp_path / "x.mp4")


# --- lengths and samples


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_come_back_as_written(tmp_path: Path, suffix: str) -> None:
    samples = chirp(1.2345)
    path = write(tmp_path / f"запись.{suffix}", samples, subtype="PCM_16")
    assert probe(path).duration_s == pytest.approx(1.2345, abs=1e-4)
    decoded = decode(path)
    assert decoded.dtype == np.float32
    assert decoded.flags.c_contiguous
    np.testing.assert_allclose(decoded, samples, atol=1 / 32767)


@pytest.mark.parametrize("suffix", LOSSY)
def test_lossy_formats_keep_length_and_place(tmp_path: Path, suffix: str) -> None:
    samples = chirp(3)
    path = write(tmp_path / f"x.{suffix}", samples)
    assert probe(path).duration_s == 3
    decoded = decode(path)
    assert len(decoded) == len(samples)
    assert np.corrcoef(decoded[2000:-2000], samples[2000:-2000])[0, 1] > 0.98


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [("x.m4a", "aac", None), ("x.mp4", "aac", None), ("x.aac", "aac", "adts"), ("x.webm", "libopus", None)],
)
def test_other_formats_go_through_pyav(tmp_path: Path, name: str, codec: str, container: str | None) -> None:
    path = write_with_ffmpeg(tmp_path / name, chirp(3), codec, container)
    info = probe(path)
    # codecs pad to whole frames
    assert info.duration_s == pytest.approx(3, abs=0.15)
    assert info.channels == 1
    assert len(decode(path)) == pytest.approx(3 * SAMPLE_RATE_HZ, abs=0.15 * SAMPLE_RATE_HZ)


def test_probe_tells_what_the_file_is(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", np.stack([chirp(2, 8000)] * 3, axis=1), 8000)
    assert probe(path) == AudioInfo(2.0, 8000, 3, "WAV")


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    path = write(tmp_path / "x.flac", chirp(1)).rename(tmp_path / "x.wav")
    assert probe(path).format == "FLAC"
    assert len(decode(path)) == SAMPLE_RATE_HZ


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = chirp(1), np.full(SAMPLE_RATE_HZ, 0.5, np.float32)
    path = write(tmp_path / "x.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(decode(path), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000])
def test_other_rates_become_16_khz(tmp_path: Path, rate_hz: int) -> None:
    path = write(tmp_path / "x.wav", chirp(2, rate_hz), rate_hz, subtype="FLOAT")
    decoded = decode(path)
    assert len(decoded) == 2 * SAMPLE_RATE_HZ
    np.testing.assert_allclose(decoded[200:-200], chirp(2)[200:-200], atol=2e-3)


def test_loud_samples_stay_loud(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", 5 * chirp(1), subtype="FLOAT")
    assert decode(path).max() == pytest.approx(1.5, abs=0.01)


def test_functions_can_be_sent_to_workers() -> None:
    assert pickle.loads(pickle.dumps(decode)) is decode


# --- stretches

STRETCHES = [(0.0, 1.0), (0.5, None), (1.2345, 2.0), (7.9, 1.5), (18.0, 2.0), (19.6, None)]


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize(("offset_s", "duration_s"), STRETCHES)
def test_stretch_is_that_of_the_whole(tmp_path: Path, suffix: str, offset_s: float, duration_s: float | None) -> None:
    path = write(tmp_path / f"x.{suffix}", chirp(20))
    begin = round(offset_s * SAMPLE_RATE_HZ)
    end = None if duration_s is None else begin + round(duration_s * SAMPLE_RATE_HZ)
    whole = decode(path)[begin:end]
    stretch = decode(path, offset_s=offset_s, duration_s=duration_s)
    np.testing.assert_allclose(stretch, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec", "container"), [("x.m4a", "aac", None), ("x.aac", "aac", "adts"), ("x.webm", "libopus", None)]
)
def test_stretch_through_pyav(tmp_path: Path, name: str, codec: str, container: str | None) -> None:
    path = write_with_ffmpeg(tmp_path / name, chirp(20), codec, container)
    begin, length = 7 * SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ
    whole = decode(path)[begin : begin + length]
    stretch = decode(path, offset_s=7, duration_s=2)
    assert len(stretch) == length
    # Matroska counts in milliseconds
    assert abs(shift(stretch, whole)) <= SAMPLE_RATE_HZ // 1000


def test_stretch_may_reach_a_little_past_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", chirp(3))
    assert len(decode(path, offset_s=2, duration_s=1.4)) == SAMPLE_RATE_HZ


@pytest.mark.parametrize(
    ("offset_s", "duration_s", "message"),
    [
        (3.0, None, "holds no audio after second 3"),
        (2.0, 2.0, r"ends at 3\.00 s, before second 4\.00"),
        (-1.0, None, "times must be positive"),
        (float("nan"), None, "times must be positive"),
        (0.0, 0.0, "times must be positive"),
        (0.0, float("nan"), "times must be positive"),
    ],
)
def test_stretch_outside_the_recording(tmp_path: Path, offset_s: float, duration_s: float | None, message: str) -> None:
    path = write(tmp_path / "x.wav", chirp(3))
    with pytest.raises(InputError, match=message):
        decode(path, offset_s=offset_s, duration_s=duration_s)


@pytest.mark.parametrize(
    ("found_s", "expected_s", "far_off"),
    [(5.5, 5.0, False), (5.51, 5.0, True), (4.4, 5.0, True), (102, 100, False), (106, 100, True), (0.1, 0.4, False)],
)
def test_far_off_is_half_a_second_and_a_twentieth(found_s: float, expected_s: float, far_off: bool) -> None:
    assert is_far_off(found_s, expected_s) is far_off


# --- headers that lie


@pytest.mark.parametrize("read", [probe, decode])
@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        ("wav", r"declares 160000 bytes of audio, but the file has 79978 \(2\.5 s of 5\.0 s\); get the file again"),
        ("sph", r"declares 160000 bytes of audio, but the file has 79488 \(2\.5 s of 5\.0 s\)"),
        ("mp3", r"declares \d+ bytes of audio, but the file has \d+"),
    ],
)
def test_file_cut_short(tmp_path: Path, read: object, suffix: str, message: str) -> None:
    path = cut(write(tmp_path / f"x.{suffix}", chirp(5)))
    with pytest.raises(InputError, match="is cut short: the header " + message):
        read(path)


@pytest.mark.parametrize("share", [0.999, 0.5, 0.1, 0.02])
@pytest.mark.parametrize("offset_s", [0.0, 4.0])
def test_flac_cut_short_shows_when_decoded(tmp_path: Path, share: float, offset_s: float) -> None:
    path = cut(write(tmp_path / "x.flac", chirp(5)), share)
    with pytest.raises(InputError, match=r"is damaged|is cut short: the header declares .* \(\d\.\d\d s of 5\.00 s\)"):
        decode(path, offset_s=offset_s)


@pytest.mark.parametrize("read", [probe, decode])
def test_m4a_without_its_index_at_the_end(tmp_path: Path, read: object) -> None:
    path = cut(write_with_ffmpeg(tmp_path / "x.m4a", chirp(5), "aac"))
    with pytest.raises(InputError, match=r"is cut short: its last \d+ bytes are missing; get the file again"):
        read(path)


@pytest.mark.parametrize("read", [probe, decode])
def test_webm_cut_short(tmp_path: Path, read: object) -> None:
    path = cut(write_with_ffmpeg(tmp_path / "x.webm", chirp(10), "libopus"))
    with pytest.raises(InputError, match=r"is cut short: its last \d+ bytes are missing; get the file again"):
        read(path)


def test_few_bytes_less_than_promised_are_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", chirp(1))
    patch_sizes(path, path.stat().st_size, path.stat().st_size)
    assert probe(path).duration_s == pytest.approx(1)
    assert len(decode(path)) == SAMPLE_RATE_HZ


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F000])
def test_wav_whose_writer_could_not_go_back(tmp_path: Path, size: int) -> None:
    samples = chirp(2)
    path = patch_sizes(write(tmp_path / "x.wav", samples), size, size)
    assert probe(path).duration_s == 2
    np.testing.assert_allclose(decode(path), samples, atol=1 / 32767)
    np.testing.assert_allclose(decode(path, offset_s=1), samples[SAMPLE_RATE_HZ:], atol=1 / 32767)


def test_audio_after_other_chunks_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", chirp(1))
    content = path.read_bytes()
    at = content.index(b"data")
    extra = b"LIST" + struct.pack("<I", 5) + b"odd!!" + b"\0"
    path.write_bytes(content[:at] + extra + content[at:])
    assert read_header(path).fault == ""
    assert probe(path).duration_s == 1


def test_flac_whose_writer_could_not_go_back(tmp_path: Path) -> None:
    samples = chirp(3)
    path = write(tmp_path / "x.flac", samples)
    content = bytearray(path.read_bytes())
    # STREAMINFO: the lower 36 bits of bytes 10 to 17 count the samples
    content[8 + 13] &= 0xF0
    content[8 + 14 : 8 + 18] = bytes(4)
    path.write_bytes(content)
    assert probe(path).duration_s == 3
    np.testing.assert_allclose(decode(path), samples, atol=1 / 32767)
    np.testing.assert_allclose(decode(path, offset_s=1, duration_s=1), samples[16000:32000], atol=1 / 32767)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("quiet_first", [False, True])
def test_mp3_without_a_xing_header(tmp_path: Path, mode: str, quiet_first: bool) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 20 * SAMPLE_RATE_HZ).astype(np.float32)
    halves = (0.0 * noise, noise) if quiet_first else (noise, 0.0 * noise)
    path = write(tmp_path / "x.mp3", np.concatenate(halves), bitrate_mode=mode)
    assert probe(path).duration_s == 40
    without_xing_header(path)
    counted = mp3_samples(path)
    # encoder delay and padding, which the header would have told
    assert counted / SAMPLE_RATE_HZ == pytest.approx(40, abs=0.15)
    assert probe(path).duration_s == counted / SAMPLE_RATE_HZ
    assert len(decode(path)) == pytest.approx(counted, abs=1152)


def test_mp3_with_tags_and_junk_is_counted_right(tmp_path: Path) -> None:
    path = without_xing_header(write(tmp_path / "x.mp3", chirp(10)))
    counted = mp3_samples(path)
    tag = b"ID3\x04\0\0" + bytes([0, 0, 4, 0]) + b"\xff\xfb" * 256
    content = path.read_bytes()
    path.write_bytes(tag + content + b"TAG" + bytes(125))
    assert mp3_samples(path) == counted


# --- real recordings


@pytest.mark.real_speech
@pytest.mark.parametrize(
    ("name", "info"),
    [
        ("jfk.flac", AudioInfo(11.0, 44100, 2, "FLAC")),
        ("mono_c0.opus", AudioInfo(4043 / 8000, 8000, 1, "OGG")),
        ("stereo.sph", AudioInfo(1.0, 8000, 2, "NIST")),
        ("stereo.mp3", AudioInfo(1.0, 8000, 2, "MP3")),
        ("golos/001ce26c07c20eaa0d666b824c6c6924.wav", AudioInfo(4.0, 16000, 1, "WAV")),
        ("common_voice/common_voice_en_651325.mp3", AudioInfo(2.376, 48000, 1, "MP3")),
    ],
)
def test_real_recordings(shared_dir: Path, name: str, info: AudioInfo) -> None:
    path = shared_dir / "samples" / name
    assert probe(path) == info
    assert len(decode(path)) == pytest.approx(info.duration_s * SAMPLE_RATE_HZ, abs=1)


@pytest.mark.real_speech
def test_mp3_as_ffmpeg_decodes_it(shared_dir: Path) -> None:
    path = shared_dir / "samples" / "common_voice" / "common_voice_en_651325.mp3"
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)]
    expected = np.concatenate(frames)
    raw, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(raw, expected, atol=1e-3)
