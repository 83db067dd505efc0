"""What `eartune export` asks NeMo about a file it has written."""

from pathlib import Path

import pytest
import torch

from eartune.errors import EartuneError
from eartune.families.registry import family, family_of, nemo_writer
from eartune.nemo.certify import certify
from eartune.reporting import Silent
from eartune.verbs.export import export
from tests.nemo.judge.tuning import KINDS, archive_of

pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
pytestmark = pytest.mark.nemo


class Heard(Silent):
    """Keeps the lines it is given."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("kind", KINDS)
def test_nemo_is_asked_and_agrees(kind: str, shared_dir: Path, tmp_path: Path) -> None:
    report, out = Heard(), tmp_path / "again.nemo"
    export(str(archive_of(shared_dir, kind)), to="nemo", out=out, reporter=report)
    assert any("NeMo restores" in line and "agrees within" in line for line in report.lines)
    assert [path.name for path in tmp_path.iterdir()] == ["again.nemo"]


def test_a_file_with_other_weights_than_the_models_is_refused(shared_dir: Path, tmp_path: Path) -> None:
    spec = str(archive_of(shared_dir, "parakeet-ctc"))
    door = family(family_of(spec) or "")
    speech = door.load(door.find(spec))
    nemo_writer(speech.family)(speech, Path(spec), tmp_path / "written.nemo")
    with torch.no_grad():
        speech.network.encoder.layers[0].conv.norm.running_var.mul_(1.5)
    with pytest.raises(EartuneError, match="NeMo encodes otherwise: states differ by"):
        certify(tmp_path / "written.nemo", speech)


def test_a_file_that_nemo_refuses_is_refused(shared_dir: Path, tmp_path: Path) -> None:
    spec = str(archive_of(shared_dir, "parakeet-ctc"))
    door = family("parakeet")
    (tmp_path / "written.nemo").write_bytes(b"no archive")
    with pytest.raises(EartuneError, match="NeMo does not restore it"):
        certify(tmp_path / "written.nemo", door.load(door.find(spec)))
