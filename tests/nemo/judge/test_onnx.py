"""Our graphs beside those that NeMo itself writes: the same inputs, the same outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from eartune.export.onnx_files import run_graph
from eartune.families.canary.onnx import write_onnx as write_canary
from eartune.families.parakeet.onnx import write_onnx as write_parakeet
from eartune.families.registry import family

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")

from tests.nemo.judge.models import build  # noqa: E402  it needs NeMo

pytestmark = pytest.mark.nemo
TOLERANCE = 2e-4
STATES = ("input_states_1", "input_states_2")


def write_both(kind: str, folder: Path) -> tuple[Path, Path]:
    """Write a model as ONNX by NeMo and by us; return both folders."""
    archive = build(kind, folder)
    ours, theirs = folder / "ours", folder / "theirs"
    ours.mkdir()
    theirs.mkdir()
    judge = nemo_asr.models.ASRModel.restore_from(str(archive), map_location="cpu").eval()
    if kind == "canary":
        judge.encoder.export(str(theirs / "encoder-model.onnx"))
    else:
        judge.export(str(theirs / "model.onnx"))
    family_module = family("canary" if kind == "canary" else "parakeet")
    model: Any = family_module.load(family_module.find(str(archive)), language="en")
    (write_canary if kind == "canary" else write_parakeet)(model, ours, quantization="float32")
    return ours, theirs


def features() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "audio_signal": generator.standard_normal((2, 80, 231)).astype(np.float32),
        "length": np.array([231, 190]),
    }


def inputs_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the inputs of a graph: type and number of axes."""
    graph = onnx.load(path, load_external_data=False).graph
    types = {each.name: each.type.tensor_type for each in graph.input}
    return {name: (each.elem_type, len(each.shape.dim)) for name, each in types.items()}


def within(outputs_BTx: np.ndarray, lengths_B: list[int]) -> np.ndarray:
    return np.concatenate([row[:length] for row, length in zip(outputs_BTx, lengths_B, strict=True)])


def test_ctc_answers_as_nemos_graph(tmp_path: Path) -> None:
    ours, theirs = (folder / "model.onnx" for folder in write_both("ctc", tmp_path))
    assert inputs_of(ours) == inputs_of(theirs)
    found, expected = (run_graph(path, features())["logprobs"] for path in (ours, theirs))
    np.testing.assert_allclose(within(found, [29, 24]), within(expected, [29, 24]), atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["rnnt", "tdt", "hybrid-tdt"])
def test_transducers_answer_as_nemos_graphs(kind: str, tmp_path: Path) -> None:
    ours, theirs = write_both(kind, tmp_path)
    encoder, decoder_joint = "encoder-model.onnx", "decoder_joint-model.onnx"
    assert inputs_of(ours / encoder) == inputs_of(theirs / encoder)
    assert inputs_of(ours / decoder_joint) == inputs_of(theirs / decoder_joint)
    found, expected = (run_graph(folder / encoder, features()) for folder in (ours, theirs))
    assert found["encoded_lengths"].tolist() == expected["encoded_lengths"].tolist() == [29, 24]
    states = [within(each["outputs"].swapaxes(1, 2), [29, 24]) for each in (found, expected)]
    np.testing.assert_allclose(*states, atol=TOLERANCE)
    inputs = {
        "encoder_outputs": expected["outputs"],
        "targets": np.array([[3, 7, 11], [5, 5, 160]], np.int32),
        "target_length": np.array([3, 3], np.int32),
        **{name: np.random.default_rng(1).standard_normal((1, 2, 24)).astype(np.float32) for name in STATES},
    }
    answers = [run_graph(folder / decoder_joint, inputs) for folder in (ours, theirs)]
    for name in ("output_states_1", "output_states_2"):
        np.testing.assert_allclose(answers[0][name], answers[1][name], atol=TOLERANCE)
    # on a CPU NeMo's graph normalises the scores of tokens and durations together
    scores = [each["outputs"] - each["outputs"].max(axis=-1, keepdims=True) for each in answers]
    np.testing.assert_allclose(*scores, atol=TOLERANCE)


def test_the_encoder_of_canary_hears_as_nemos(tmp_path: Path) -> None:
    """Our graph goes on to the keys and values of the decoder, so that its lengths and mask are compared."""
    ours, theirs = (folder / "encoder-model.onnx" for folder in write_both("canary", tmp_path))
    assert inputs_of(ours) == inputs_of(theirs)
    found, expected = (run_graph(path, features()) for path in (ours, theirs))
    assert found["encoded_lengths"].tolist() == expected["encoded_lengths"].tolist()
    assert found["encoder_mask"].sum(axis=1).tolist() == expected["encoded_lengths"].tolist()
