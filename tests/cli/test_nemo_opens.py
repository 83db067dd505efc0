"""How often a command opens a .nemo file, parses its configuration and interprets it."""

import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eartune.cli.main import main
from eartune.families._nemo import archive
from tests.tiny import write_speech
from tests.tiny_nemo import write_members, write_tiny_nemo

KINDS = ["ctc", "hybrid", "prompted", "canary"]


class Opens:
    """Counts, by path: tars that are opened to be read, configurations parsed, encoders read from one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: Counter[Path] = Counter()
        self.parsed: Counter[Path] = Counter()
        self.interpreted: Counter[Path] = Counter()
        open_tar, read_settings, section = tarfile.open, archive.read_settings, archive.NemoArchive.section

        def counted_open(name: Any = None, mode: str = "r", fileobj: Any = None, **options: Any) -> Any:
            if mode.startswith("r"):
                self.opened[Path(str(name or fileobj.name))] += 1
            return open_tar(name, mode, fileobj, **options)

        def counted_read(text: bytes, *, where: str) -> Any:
            self.parsed[Path(where.partition(": ")[0])] += 1
            return read_settings(text, where=where)

        def counted_section(asked: archive.NemoArchive, name: str) -> Any:
            self.interpreted[asked.path] += name == "encoder"
            return section(asked, name)

        monkeypatch.setattr(archive.NemoArchive, "section", counted_section)
        monkeypatch.setattr(tarfile, "open", counted_open)
        monkeypatch.setattr(archive, "read_settings", counted_read)
        # what other tests have read
        archive._read.cache_clear()

    def require_few(self, model: Path) -> None:
        """Assert that the model is read once, every other file at most once, and none is opened more than twice."""
        assert self.parsed[model] == self.interpreted[model] == 1
        assert max(self.parsed.values()) == max(self.interpreted.values()) == 1
        assert max(self.opened.values()) <= 2


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Opens:
    return Opens(monkeypatch)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tiny_nemo(tmp_path / "model.nemo", request.param)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "speech", count=2, duration_s=3.0)


def test_a_model_that_is_evaluated_is_opened_once_for_its_format_and_once_to_load_it(
    model: Path, speech: Path, opens: Opens, tmp_path: Path
) -> None:
    assert main(["evaluate", str(model), "--data", str(speech), "--out", str(tmp_path / "scores")]) == 0
    opens.require_few(model)


def test_so_is_a_model_that_transcribes(model: Path, speech: Path, opens: Opens) -> None:
    assert main(["transcribe", str(model), str(speech.parent / "audio" / "0.wav"), "--language", "en"]) == 0
    opens.require_few(model)


def test_a_run_opens_its_base_model_once_also_to_write_the_tuned_one(
    model: Path, speech: Path, opens: Opens, tmp_path: Path
) -> None:
    options = {
        "base-model": model, "train": speech, "language": "en", "max-steps": 1, "precision": "fp32", "num-workers": 0,
        "output-dir": tmp_path / "run", "export": tmp_path / "tuned.nemo",
    }  # fmt: skip
    assert main(["train", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]) == 0
    assert (tmp_path / "tuned.nemo").is_file()
    opens.require_few(model)
    assert opens.opened[model] == 1
    assert sum(opens.parsed.values()) == 2, "of the tuned model, too, when it is read back"


def test_an_export_opens_the_model_and_the_new_file_once_and_once_for_its_format(
    model: Path, speech: Path, opens: Opens, tmp_path: Path
) -> None:
    words = ["export", str(model), "--to", "nemo", "--data", str(speech), "--out", str(tmp_path / "again.nemo")]
    assert main(words) == 0
    opens.require_few(model)
    assert sum(opens.parsed.values()) == 2


def test_a_compressed_model_is_unpacked_once(
    speech: Path, opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, packed = write_tiny_nemo(tmp_path / "plain.nemo", "ctc"), tmp_path / "packed.nemo"
    with tarfile.open(plain) as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]
    write_members(packed, contents, compression="gz")
    unpacked: list[object] = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: unpacked.append(1) or make())
    assert main(["transcribe", str(packed), str(speech.parent / "audio" / "0.wav"), "--language", "en"]) == 0
    assert len(unpacked) == opens.parsed[packed] == 1
