"""Artefacts of Parakeet and Canary that are broken on purpose, in onnx-asr and transformers: none passes the gate."""

from pathlib import Path

import pytest

from tests.broken_nemo import Case, ask_for_128_mels

pytestmark = pytest.mark.runtimes
KINDS = ("ctc", "tdt", "canary")


@pytest.fixture(scope="module", params=KINDS)
def lively(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case.lively(tmp_path_factory.mktemp("models"), request.param)


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, shared_dir: Path) -> Case:
    return Case.trained(shared_dir, request.param)


def passes(case: Case, form: str, folder: Path) -> None:
    gate = case.judge(case.write(form, folder))
    assert gate.failures == []
    assert gate.parity.num_differing == 0


def test_a_whole_folder_passes_in_onnx_asr(lively: Case, tmp_path: Path) -> None:
    passes(lively, "onnx", tmp_path / "whole")


@pytest.mark.parametrize("name", ["transposed", "shifted"])
def test_graphs_that_were_transposed_or_shifted_are_caught(name: str, lively: Case, tmp_path: Path) -> None:
    assert lively.refused(lively.write("onnx", tmp_path / "broken", lively.changed(name)))


def test_a_wrong_number_of_mel_bins_is_caught_in_onnx_asr(lively: Case, tmp_path: Path) -> None:
    exported = lively.write("onnx", tmp_path / "broken")
    ask_for_128_mels(exported)
    assert lively.refused(exported)


@pytest.mark.real_speech
def test_a_whole_folder_passes_in_transformers(trained: Case, tmp_path: Path) -> None:
    passes(trained, "hf", tmp_path / "whole")


@pytest.mark.real_speech
@pytest.mark.parametrize("name", ["transposed", "shifted"])
def test_weights_that_were_transposed_or_shifted_are_caught(name: str, trained: Case, tmp_path: Path) -> None:
    assert trained.refused(trained.write("hf", tmp_path / "broken", trained.changed(name)))


@pytest.mark.real_speech
def test_a_wrong_number_of_mel_bins_is_caught_in_transformers(trained: Case, tmp_path: Path) -> None:
    exported = trained.write("hf", tmp_path / "broken")
    ask_for_128_mels(exported)
    assert trained.refused(exported)
