"""The benchmark beside NeMo's fine-tuning: one small run of each kind on noise, and the same steps in both."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("nemo") is None:
    pytest.skip("NeMo is not installed here: make test-nemo", allow_module_level=True)

from benchmarks.finetuning.command import KINDS, main
from benchmarks.finetuning.figures import needs, ratios

pytestmark = pytest.mark.nemo


def test_a_small_run_measures_both_and_writes_everything(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    words = ["--nemo-python", sys.executable, "--size", "miniature", "--rounds", "1", "--steps", "4"]
    main([*words, "--batch-size", "2", "--out", str(out)])
    written = json.loads(out.read_text())
    assert set(written) == {"command", "date", "machine", "installed_bytes", "kinds"}
    assert written["installed_bytes"]["eartune"] == written["installed_bytes"]["nemo"] > 10**9
    assert list(written["kinds"]) == list(KINDS)
    for found in written["kinds"].values():
        for contender in ("eartune", "nemo"):
            (run,) = found["runs"][contender]
            assert len(run["steps"]) == 4
            assert all(step["seconds"] > 0 for step in run["steps"])
            assert 0 < run["import_seconds"] < run["first_step_begins_s"]
            assert run["peak_bytes"] > 2**28
        both = [needs(found["runs"][contender]) for contender in ("eartune", "nemo")]
        assert found["ratios"] == pytest.approx(ratios(*both))
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
