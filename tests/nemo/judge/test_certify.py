"""What `eartune export` asks NeMo about a file it has written."""

import json
from pathlib import Path

import pytest
import torch

from eartune.errors import EartuneError
from eartune.families._nemo.exports import certify
from eartune.families.parakeet.load import write_nemo
from eartune.families.registry import family, family_of
from eartune.verbs.export import export
from tests.nemo.judge.tuning import KINDS, archive_of

pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
pytestmark = pytest.mark.nemo


@pytest.mark.parametrize("kind", KINDS)
def test_nemo_is_asked_and_agrees(kind: str, shared_dir: Path, tmp_path: Path) -> None:
    archive, out = archive_of(shared_dir, kind), tmp_path / "again.nemo"
    manifest = shared_dir / "models" / "nemo-tiny" / "audio" / archive.stem / "manifest.jsonl"
    [exported] = export(str(archive), to=["nemo"], out=out, data=[manifest], num_utterances=3)
    assert exported.gate is not None
    assert exported.gate.failures == []
    assert exported.gate.parity.num_differing == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.nemo", "again.nemo.parity.json"]
    record = json.loads((tmp_path / "again.nemo.parity.json").read_text())
    assert record["largest_difference"]["read_back"] <= 1e-4
    assert record["largest_difference"]["as_written"] <= 1e-3, "NeMo's encoder"
    assert record["runtime"]["version"] is not None


def test_a_file_with_other_weights_than_the_models_is_refused(shared_dir: Path, tmp_path: Path) -> None:
    spec = str(archive_of(shared_dir, "parakeet-ctc"))
    family_module = family(family_of(spec) or "")
    model = family_module.load(family_module.find(spec))
    write_nemo(model, Path(spec), tmp_path / "written.nemo")
    with torch.no_grad():
        model.network.encoder.layers[0].conv.norm.running_var.mul_(1.5)
    with pytest.raises(EartuneError, match="NeMo's encoder outputs differ by"):
        certify(tmp_path / "written.nemo", model)


def test_a_file_that_nemo_refuses_is_refused(shared_dir: Path, tmp_path: Path) -> None:
    spec = str(archive_of(shared_dir, "parakeet-ctc"))
    family_module = family("parakeet")
    (tmp_path / "written.nemo").write_bytes(b"no archive")
    with pytest.raises(EartuneError, match="NeMo cannot restore it"):
        certify(tmp_path / "written.nemo", family_module.load(family_module.find(spec)))
