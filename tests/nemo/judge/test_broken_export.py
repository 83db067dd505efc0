""".nemo files that are broken on purpose, in NeMo itself: none passes the gate."""

from pathlib import Path

import pytest

from eartune.errors import EartuneError
from tests.broken_nemo import Case

pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
pytestmark = pytest.mark.nemo


@pytest.fixture(scope="module", params=["ctc", "tdt", "canary"])
def case(request: pytest.FixtureRequest, shared_dir: Path) -> Case:
    return Case.trained(shared_dir, request.param)


def test_a_whole_archive_passes(case: Case, tmp_path: Path) -> None:
    gate = case.judge(case.write("nemo", tmp_path / "whole"))
    assert gate.failures == []
    assert gate.parity.num_differing == 0


@pytest.mark.parametrize("name", ["transposed", "shifted"])
def test_a_writer_that_transposes_or_shifts_is_caught(name: str, case: Case, tmp_path: Path) -> None:
    exported = case.write("nemo", tmp_path / "broken", case.changed(name))
    assert case.refused(exported)


def test_an_archive_with_other_mel_bins_is_refused(case: Case, tmp_path: Path) -> None:
    whole = case.write("nemo", tmp_path / "whole")
    broken = tmp_path / "broken.nemo"
    data = whole.read_bytes()
    # within a tar of plain members, as long as it was
    assert b"features: 80" in data
    broken.write_bytes(data.replace(b"features: 80", b"features: 40"))
    with pytest.raises(EartuneError):
        case.judge(broken)
