"""The tests marked any_processor, once more as on a processor without AVX-512 and its bf16."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eartune.training.device import computes_bf16, describe_precision, resolve_precision

TESTS = Path(__file__).parent
MARK = "mark.any_processor"
# what oneDNN and torch read when they are loaded; processors of other kinds know neither
WITHOUT_AVX512 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
CPU = torch.device("cpu")


def test_marked_tests_pass_without_avx512() -> None:
    if os.environ.items() >= WITHOUT_AVX512.items():
        pytest.skip("this is that run")
    # only files with such tests, so that no others are imported
    files = [path for path in TESTS.rglob("test_*.py") if MARK in path.read_text(encoding="utf-8")]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "any_processor", "-p", "no:cacheprovider", *map(str, files)],
        env=os.environ | WITHOUT_AVX512,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout


@pytest.mark.any_processor
def test_auto_takes_bf16_only_where_it_has_instructions_and_an_imitation_is_told() -> None:
    if os.environ.items() >= WITHOUT_AVX512.items():
        assert not computes_bf16(CPU)
    native = computes_bf16(CPU)
    assert resolve_precision("auto", CPU) == ("bf16" if native else "fp32")
    assert resolve_precision("bf16", CPU) == "bf16"
    assert ("emulates" in describe_precision("bf16", CPU)) == (not native)
    assert describe_precision("fp32", CPU) == "fp32"
