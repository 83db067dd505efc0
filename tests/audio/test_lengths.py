"""A file holds what it holds, whatever its header says: all of it is read, or the file is refused by name."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eartune.audio import decode, probe
from eartune.errors import InputError

from .waves import RATE_HZ, chirp, cut, find, joined, put, write, write_aac

UNKNOWN = 0xFFFF_FFFF
ID3 = b"ID3\x04\0\0\0\0\0\x10" + b"\xff\xfb\x90\xc4" * 4


def check_whole(path: Path, duration_s: float, *, within_s: float = 1e-4) -> None:
    assert probe(path).duration_s == pytest.approx(duration_s, abs=within_s)
    assert len(decode(path)) == pytest.approx(probe(path).duration_s * RATE_HZ, abs=1)


def check_refused(path: Path, message: str) -> None:
    for read in (probe, decode):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


# --- sizes that were never filled in


def wav(path: Path, size: int) -> None:
    put(path, 4, "<I", size)
    put(path, find(path, b"data") + 4, "<I", size)


def wav_data_only(path: Path, size: int) -> None:
    put(path, find(path, b"data") + 4, "<I", size)


def rf64(path: Path, size: int) -> None:
    put(path, find(path, b"ds64") + 8, "<QQQ", size, size, size)


def bw64(path: Path, size: int) -> None:
    rf64(path, size)
    path.write_bytes(b"BW64" + path.read_bytes()[4:])


def au(path: Path, size: int) -> None:
    put(path, 8, ">I", size)


def aiff(path: Path, size: int) -> None:
    put(path, 4, ">I", size)
    put(path, find(path, b"COMM") + 10, ">I", size)
    put(path, find(path, b"SSND") + 4, ">I", size)


def aiff_frames(path: Path, size: int) -> None:
    put(path, find(path, b"COMM") + 10, ">I", size)


def caf(path: Path, size: int) -> None:
    put(path, find(path, b"data") + 4, ">Q", size)


def w64(path: Path, size: int) -> None:
    put(path, 16, "<Q", size)
    put(path, find(path, b"data") + 16, "<Q", size)


@pytest.mark.parametrize(
    ("suffix", "fill", "size"),
    [
        ("wav", wav, 0),
        ("wav", wav, UNKNOWN),
        ("wav", wav, 0x7FFF_FFFF),
        ("wav", wav_data_only, 0),
        ("wav", wav_data_only, UNKNOWN - 36),
        ("rf64", rf64, 0),
        ("rf64", rf64, 0xFFFF_FFFF_FFFF_FFFF),
        ("rf64", rf64, UNKNOWN),
        ("rf64", bw64, 0),
        ("au", au, 0),
        ("au", au, UNKNOWN),
        ("aiff", aiff, 0),
        ("aiff", aiff, UNKNOWN),
        ("aiff", aiff_frames, 0),
        ("caf", caf, 0xFFFF_FFFF_FFFF_FFFF),
        ("caf", caf, 0),
        ("w64", w64, 0),
        ("w64", w64, 0xFFFF_FFFF_FFFF_FFFF),
    ],
)
def test_sizes_that_were_never_filled_in(
    tmp_path: Path, suffix: str, fill: Callable[[Path, int], None], size: int
) -> None:
    samples = chirp(2)
    path = write(tmp_path / f"x.{suffix}", samples)
    fill(path, size)
    check_whole(path, 2)
    np.testing.assert_allclose(decode(path), samples, atol=1 / 32767)
    np.testing.assert_allclose(decode(path, offset_s=1.5), samples[24000:], atol=1 / 32767)
    check_refused(cut(path, 101), r"is cut short: it ends inside a sample, after (1\.99|2\.00) s")


# --- sizes that are wrong


@pytest.mark.parametrize(
    ("suffix", "fill", "size"),
    [
        ("wav", wav_data_only, 32_000),
        ("rf64", rf64, 32_000),
        ("au", au, 32_000),
        ("aiff", lambda path, size: put(path, find(path, b"SSND") + 4, ">I", size + 8), 32_000),
        ("caf", lambda path, size: put(path, find(path, b"data") + 4, ">Q", size + 4), 32_000),
        ("w64", lambda path, size: put(path, find(path, b"data") + 16, "<Q", size + 24), 32_000),
        ("sph", lambda path, _: path.write_bytes(path.read_bytes().replace(b"-i 32000", b"-i 16000", 1)), 0),
    ],
)
def test_audio_behind_a_size_that_is_too_small(
    tmp_path: Path, suffix: str, fill: Callable[[Path, int], object], size: int
) -> None:
    path = write(tmp_path / f"x.{suffix}", chirp(2))
    fill(path, size)
    check_refused(path, r"the header declares 1\.0 s, but the file has 2\.0 s")


@pytest.mark.parametrize("suffix", ["wav", "rf64", "au", "aiff", "caf", "w64", "sph"])
def test_plain_samples_cut_short(tmp_path: Path, suffix: str) -> None:
    path = cut(write(tmp_path / f"x.{suffix}", chirp(2)), 32_000)
    check_refused(
        path, r"is cut short: the header declares \d+ bytes of audio, but the file has \d+ \(1\.0 s of 2\.0 s\)"
    )


def test_aiff_whose_frames_are_more_than_its_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "x.aiff", chirp(2))
    aiff_frames(path, 80_000)
    check_refused(path, r"the header declares 5\.0 s, but the file has 2\.0 s")


@pytest.mark.parametrize(
    "after",
    [
        b"LIST" + struct.pack("<I", 2000) + bytes(2000),
        b"id3 " + struct.pack("<I", 11) + bytes(12) + b"LIST" + struct.pack("<I", 1500) + b"\x07" * 1500,
        b"ID3\x04" + b"\x05" * 5000,
        b"TAG" + b"\x05" * 125,
        bytes(9000),
    ],
)
def test_what_may_follow_the_samples(tmp_path: Path, after: bytes) -> None:
    path = write(tmp_path / "x.wav", chirp(2))
    path.write_bytes(path.read_bytes() + after)
    check_whole(path, 2)


def test_empty_wav_with_other_chunks(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", chirp(0))
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 2000) + bytes(2000))
    check_refused(path, r"holds no audio \(0 samples\)")


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au"])
def test_plain_files_behind_one_another(tmp_path: Path, suffix: str) -> None:
    a, b = write(tmp_path / f"a.{suffix}", chirp(1)), write(tmp_path / f"b.{suffix}", chirp(2))
    check_refused(
        joined(tmp_path / f"ab.{suffix}", a, b), "consists of several concatenated recordings, of which only the first"
    )


# --- FLAC


def put_total(path: Path, num_samples: int) -> Path:
    return put(path, 8 + 14, ">I", num_samples)


@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125), bytes(300)])
@pytest.mark.parametrize("total", [0, 16_000, 80_000])
def test_flac_with_any_total(tmp_path: Path, total: int, tag: bytes) -> None:
    path = write(tmp_path / "x.flac", chirp(5))
    path.write_bytes(path.read_bytes() + tag)
    put_total(path, total)
    check_whole(path, 5)
    np.testing.assert_allclose(decode(path), chirp(5), atol=1 / 32767)


def test_flac_that_promises_more(tmp_path: Path) -> None:
    path = put_total(write(tmp_path / "x.flac", chirp(5)), 160_000)
    check_refused(path, r"is cut short: the header declares more than the file has \(5\.00 s of 10\.00 s\)")


@pytest.mark.parametrize("total", [0, 80_000])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
def test_flac_cut_short(tmp_path: Path, total: int, share: float) -> None:
    path = put_total(write(tmp_path / "x.flac", chirp(5)), total)
    cut(path, int(path.stat().st_size * (1 - share)))
    check_refused(path, "is cut short")


def test_flac_behind_another_shows_when_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "x.flac", chirp(5))
    with pytest.raises(InputError, match="consists of several concatenated recordings"):
        decode(joined(tmp_path / "xx.flac", path, path))


# --- Ogg


def test_ogg_with_missing_pages(tmp_path: Path) -> None:
    path = write(tmp_path / "x.opus", chirp(9))
    pages = [b"OggS" + page for page in path.read_bytes().split(b"OggS")[1:]]
    path.write_bytes(b"".join(pages[:4] + pages[6:]))
    check_refused(path, "is damaged: 2 of its pages are missing")
    # what one gets who tunes in late
    path.write_bytes(b"".join(pages[:2] + pages[4:]))
    assert 6 < probe(path).duration_s < 9


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_chained_ogg(tmp_path: Path, suffix: str) -> None:
    a, b = write(tmp_path / f"a.{suffix}", chirp(3)), write(tmp_path / f"b.{suffix}", chirp(2))
    path = joined(tmp_path / f"aba.{suffix}", a, b, a)
    check_whole(path, 8)
    np.testing.assert_array_equal(decode(path), np.concatenate([decode(a), decode(b), decode(a)]))
    np.testing.assert_allclose(decode(path, offset_s=4, duration_s=2), decode(path)[64000:96000], atol=1e-6)


def test_chained_ogg_of_other_kinds(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.ogg", chirp(1)), write(tmp_path / "b.ogg", chirp(1, 8000), 8000)
    check_refused(joined(tmp_path / "ab.ogg", a, b), r"several concatenated recordings \(16000 Hz .*, 8000 Hz")


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
@pytest.mark.parametrize("num_bytes", [1, 300, 2000])
def test_ogg_cut_inside_a_page(tmp_path: Path, suffix: str, num_bytes: int) -> None:
    path = cut(write(tmp_path / f"x.{suffix}", chirp(9)), num_bytes)
    check_refused(path, r"is cut short: it ends inside a page, after \d\.\d\d s")


# --- AAC


def test_aac_cut_inside_a_frame(tmp_path: Path) -> None:
    path = write_aac(tmp_path / "x.aac", chirp(3), "adts")
    check_whole(path, 3, within_s=0.15)
    check_refused(cut(path, 20), r"is cut short: it ends inside a frame, after [23]\.\d\d s")


def test_aac_behind_one_another(tmp_path: Path) -> None:
    a, b = (write_aac(tmp_path / f"{s}.aac", chirp(s), "adts") for s in (2, 3))
    check_whole(joined(tmp_path / "ab.aac", a, b, between=ID3), 5, within_s=0.3)


@pytest.mark.parametrize("factor", [0.25, 0.9, 4])
def test_m4a_whose_index_says_otherwise(tmp_path: Path, factor: float) -> None:
    path = write_aac(tmp_path / "x.m4a", chirp(4))
    for name, place in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        at = find(path, name) + place
        (told,) = struct.unpack_from(">I", path.read_bytes(), at)
        put(path, at, ">I", round(told * factor))
    check_whole(path, 4, within_s=0.15)


@pytest.mark.parametrize(("suffix", "container"), [("m4a", None), ("mka", "matroska")])
def test_films_behind_one_another(tmp_path: Path, suffix: str, container: str | None) -> None:
    path = write_aac(tmp_path / f"x.{suffix}", chirp(2), container)
    check_refused(joined(tmp_path / f"xx.{suffix}", path, path), "consists of several concatenated recordings")


def test_amr_cut_inside_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.amr"
    path.write_bytes(b"#!AMR\n" + b"\x3c".ljust(32, b"\0") * 100)
    check_refused(cut(path, 5), r"is cut short: it ends inside a frame, after 1\.98 s")


@pytest.mark.skipif(os.name == "nt", reason="pipes have no names there")
def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.wav")
    check_refused(tmp_path / "x.wav", "is a pipe or a device, not a file")


@pytest.mark.parametrize("rate_hz", [1, 10, 3999])
def test_sample_rate_that_is_none_of_speech(tmp_path: Path, rate_hz: int) -> None:
    path = write(tmp_path / "x.wav", chirp(1), rate_hz)
    check_refused(path, f"has a sample rate of {rate_hz} Hz; supported are 4000 to 768000 Hz")
