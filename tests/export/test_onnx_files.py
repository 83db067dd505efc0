"""Graphs of small modules, run in onnxruntime and compared with torch."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from eartune.errors import EartuneError
from eartune.export import onnx_files
from eartune.export.onnx_files import largest_difference, require_close, run_graph, save_graph, write_graph


class Small(nn.Module):
    """A matrix product, a dropout and a normalisation, which differ between training and evaluation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 256)
        self.norm = nn.BatchNorm1d(256)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features_BTM: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        hidden_BTD = self.dropout(self.norm(self.linear(features_BTM).transpose(1, 2)).transpose(1, 2))
        return hidden_BTD * scale


INPUTS = {"features": torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1)), "scale": torch.ones(1)}
OTHER = {"features": torch.randn(3, 9, 64, generator=torch.Generator().manual_seed(2)), "scale": torch.full((1,), 2.0)}


def write(module: nn.Module, path: Path, **options: Any) -> None:
    settings: dict[str, Any] = {"quantization": "float32"} | options
    write_graph(
        module, path, inputs=INPUTS, outputs=["hidden"], dynamic={"features": {0: "batch", 1: "time"}}, **settings
    )


def difference(module: nn.Module, path: Path) -> float:
    with torch.no_grad():
        expected = copy.deepcopy(module).cpu().float().eval()(*OTHER.values()).numpy()
    found = run_graph(path, {name: value.numpy() for name, value in OTHER.items()})
    return largest_difference(found, {"hidden": expected})


def test_a_graph_answers_as_the_module_does_for_other_batches_and_lengths(tmp_path: Path) -> None:
    module = Small()
    write(module, tmp_path / "small.onnx")
    assert difference(module, tmp_path / "small.onnx") < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


@pytest.mark.parametrize(("quantization", "limit", "smaller"), [("float16", 0.01, 0.6), ("int8", 0.1, 0.5)])
def test_quantised_graphs_are_smaller_and_near(quantization: str, limit: float, smaller: float, tmp_path: Path) -> None:
    module = Small()
    write(module, tmp_path / "full.onnx")
    write(module, tmp_path / "small.onnx", quantization=quantization)
    assert 1e-6 < difference(module, tmp_path / "small.onnx") < limit
    assert (tmp_path / "small.onnx").stat().st_size < smaller * (tmp_path / "full.onnx").stat().st_size


def test_float16_computes_in_half_precision_but_for_what_is_named(tmp_path: Path) -> None:
    class Waves(nn.Module):
        def forward(self, places: torch.Tensor) -> torch.Tensor:
            return (places.float() * 0.7).sin()

    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.waves, self.linear = Waves(), nn.Linear(1, 8)

        def forward(self, places: torch.Tensor) -> torch.Tensor:
            return self.linear(self.waves(places)[:, None])

    module, places = Positions().eval(), torch.arange(4000, 4100)
    with torch.no_grad():
        expected = {"found": module(places).numpy()}
    differences = {}
    for kept in ((), ("waves",)):
        write_graph(
            module, tmp_path / "half.onnx", inputs={"places": places}, outputs=["found"], dynamic={},
            quantization="float16", kept_in_float32=kept,
        )  # fmt: skip
        graph = onnx.load(tmp_path / "half.onnx").graph
        assert {tensor.data_type for tensor in graph.initializer} == {onnx.TensorProto.FLOAT16}
        assert {each.type.tensor_type.elem_type for each in graph.output} == {onnx.TensorProto.FLOAT}
        found = run_graph(tmp_path / "half.onnx", {"places": places.numpy()})
        differences[kept] = largest_difference(found, expected)
    # half of the numbers beyond 2048 are not in float16
    assert 1e-6 < differences[("waves",)] < 2e-3
    assert differences[()] > 0.1


def test_the_module_stays_as_it_was(tmp_path: Path) -> None:
    module = Small().train()
    module.norm.eval()
    before = copy.deepcopy(module.state_dict())
    write(module, tmp_path / "small.onnx")
    assert module.training
    assert module.dropout.training
    assert not module.norm.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_module_in_half_precision_is_written_in_float32_and_stays_in_half_precision(tmp_path: Path) -> None:
    module = Small().bfloat16()
    write(module, tmp_path / "small.onnx")
    assert difference(module, tmp_path / "small.onnx") < 1e-5
    assert module.linear.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("quantization", ["float32", "float16", "int8"])
def test_weights_that_are_too_large_lie_beside_the_graph(
    quantization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "MAX_BYTES_IN_GRAPH", 8000)
    module = Small()
    write(module, tmp_path / "small.onnx", quantization=quantization)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.onnx", "small.onnx.data"]
    assert (tmp_path / "small.onnx").stat().st_size < 8000 < (tmp_path / "small.onnx.data").stat().st_size
    # the folder may be moved
    moved = tmp_path.rename(tmp_path.with_name(f"moved-{tmp_path.name}"))
    assert difference(module, moved / "small.onnx") < 0.1


def test_metadata_is_text(tmp_path: Path) -> None:
    write(Small(), tmp_path / "small.onnx", metadata={"vocab_size": 12, "url": "tdt"})
    found = {each.key: each.value for each in onnx.load(tmp_path / "small.onnx").metadata_props}
    assert found == {"vocab_size": "12", "url": "tdt"}
    save_graph(onnx.load(tmp_path / "small.onnx"), tmp_path / "again.onnx", metadata={"vocab_size": 13})
    assert {each.key: each.value for each in onnx.load(tmp_path / "again.onnx").metadata_props}["vocab_size"] == "13"


def test_the_exporter_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for quantization in ("float32", "float16", "int8"):
            write(Small(), tmp_path / "small.onnx", quantization=quantization)
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_traced_is_one_line(tmp_path: Path) -> None:
    class Strange(nn.Module):
        def forward(self, features: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(features @ features.transpose(1, 2)) * scale

    with pytest.raises(EartuneError, match="torch cannot write ONNX") as caught:
        write(Strange(), tmp_path / "strange.onnx")
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_differences() -> None:
    one = {"a": np.array([1.0, 2.0]), "b": np.zeros((0, 3))}
    assert largest_difference(one, one) == 0
    assert largest_difference({**one, "a": np.array([1.5, 1.0])}, one) == 1.0
    assert largest_difference({**one, "a": np.array([1.0])}, one) == float("inf")
    assert largest_difference({**one, "a": np.array([1.0, np.nan])}, one) == float("inf")


@pytest.mark.parametrize(
    ("found", "quantization"), [(2e-3, "float32"), (float("inf"), "int8"), (float("nan"), "float16")]
)
def test_a_wrong_export_is_refused(found: float, quantization: Any, tmp_path: Path) -> None:
    with pytest.raises(EartuneError, match="exported wrongly"):
        require_close(found, tmp_path, quantization=quantization)
    require_close(9e-4, tmp_path, quantization="float32")
    require_close(0.5, tmp_path, quantization="int8")
