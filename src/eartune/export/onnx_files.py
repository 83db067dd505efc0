"""ONNX graphs on disk: traced from a module, in half precision or with 8-bit weights, run again and compared.

Traced by torch.onnx's TorchScript exporter: the other one cannot follow an attention of torch through lengths that are
computed, and takes minutes for what takes seconds here.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from eartune.errors import EartuneError, InputError, first_line

Module = TypeVar("Module", bound=nn.Module)
Quantization: TypeAlias = Literal["float32", "float16", "int8"]
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
OPSET = 17
# a protobuf message ends at 2 GiB: weights of larger models lie in a file of their own beside the graph
MOST_BYTES_IN_GRAPH = 2**31 - 2**26
# what masks add to scores becomes this in half precision: two of its largest numbers have no sum
MOST_IN_FLOAT16 = 1e4
# how far outputs of a float32 graph may be from torch's
FLOAT32_LIMIT = 1e-3


def require_onnx() -> None:
    """Raise InputError where a package is missing that writing needs."""
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise InputError(f"writing ONNX needs {package}, which is not installed; pip install 'eartune[onnx]'")


def write_graph(
    module: nn.Module,
    path: Path,
    *,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    quantization: Quantization,
    kept_in_float32: Sequence[str] = (),
    metadata: Mapping[str, object] | None = None,
    weights_beside: bool = False,
) -> None:
    """Trace the forward of a module in evaluation, on the CPU, and write it; the module stays as it is.

    `inputs` are its arguments in order, `dynamic` names the axes of inputs and outputs that vary. Weights beyond 2 GiB,
    or all with `weights_beside`, are written to PATH.data. float16: weights and arithmetic; inputs, outputs, LSTMs and
    nodes with one of `kept_in_float32` in their names (which contain the names of modules) stay in float32. int8: the
    weights of matrix products, but of those nodes; convolutions, LSTMs and embeddings stay in float32.
    Raises EartuneError where torch cannot trace the module.
    """
    graph = traced_graph(
        module,
        path.parent,
        inputs=inputs,
        outputs=outputs,
        dynamic=dynamic,
        quantization=quantization,
        kept_in_float32=kept_in_float32,
    )
    save_graph(graph, path, metadata=metadata or {}, weights_beside=weights_beside)


# Any: onnx describes no types
def traced_graph(
    module: nn.Module,
    folder: Path,
    *,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    quantization: Quantization,
    kept_in_float32: Sequence[str] = (),
) -> Any:
    """Return what `write_graph` writes; on the way it passes by `folder`, and nothing stays there."""
    import onnx  # noqa: PLC0415  an optional extra

    # where weights are spread over files on the way, they lie beside what will be written
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        traced = Path(aside) / "traced.onnx"
        _trace(module, traced, inputs, outputs, dynamic)
        with _quiet():
            if quantization == "float16":
                return _in_float16(traced, kept_in_float32)
            return _in_int8(traced, kept_in_float32) if quantization == "int8" else onnx.load(traced)


def save_graph(graph: Any, path: Path, *, metadata: Mapping[str, object], weights_beside: bool = False) -> None:
    """Write a graph with this metadata, over what is there; its weights beside it where they are too large.

    A graph that was loaded without its weights goes on naming the files they are in.
    """
    import onnx  # noqa: PLC0415  an optional extra

    onnx.helper.set_model_props(graph, {name: str(value) for name, value in metadata.items()})
    external = weights_beside or _is_large(graph)
    beside = path.with_name(f"{path.name}.data")
    # onnx appends to a file that is there
    beside.unlink(missing_ok=True)
    onnx.save(graph, path, save_as_external_data=external, location=beside.name if external else None)


def run_graph(path: Path, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Run a graph in onnxruntime on the CPU and return its outputs by name."""
    import onnxruntime  # noqa: PLC0415  an optional extra

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def largest_difference(found: Arrays, expected: Arrays) -> float:
    """Return the largest difference of any number in outputs of the same names; infinite where shapes differ."""
    differences = [0.0]
    for name, wanted in expected.items():
        got = found[name]
        if got.shape != wanted.shape:
            return float("inf")
        if got.size:
            difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max()
            differences.append(float(difference) if np.isfinite(difference) else float("inf"))
    return max(differences)


def require_close(difference: float, folder: Path, *, quantization: Quantization) -> None:
    """Raise EartuneError where a float32 graph differs from torch, or any graph gives values that are not finite."""
    limit = FLOAT32_LIMIT if quantization == "float32" else float("inf")
    if not difference < limit:
        raise EartuneError(
            f"{folder}: the graphs were exported wrongly: in onnxruntime their outputs differ by {difference:.2g} from"
            " the model's; please report it with the name of the base model"
        )


def _trace(
    module: nn.Module,
    path: Path,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> None:
    with evaluating(module) as traced, _quiet(), torch.no_grad():
        try:
            torch.onnx.export(
                traced,
                tuple(value.cpu() for value in inputs.values()),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
            )
        except (RuntimeError, TypeError, ValueError, torch.onnx.errors.OnnxExporterError) as error:
            reason = first_line(error)
            raise EartuneError(f"{path.parent.parent}: torch cannot write ONNX: {reason[:200]}") from None


@contextmanager
def evaluating(module: Module) -> Iterator[Module]:
    """Yield a module in float32 on the CPU, in evaluation: itself, or a copy where it is not so."""
    values = [*module.parameters(), *module.buffers()]
    if any(value.device.type != "cpu" or value.dtype in (torch.float16, torch.bfloat16) for value in values):
        yield copy.deepcopy(module).cpu().float().eval()
        return
    training = [each for each in module.modules() if each.training]
    try:
        yield module.eval()
    finally:
        module.eval()
        for each in training:
            each.training = True


def _kept(path: Path, kept_in_float32: Sequence[str]) -> list[str]:
    """List the nodes of a graph whose names contain one of some parts."""
    import onnx  # noqa: PLC0415  an optional extra

    nodes = onnx.load(path, load_external_data=False).graph.node
    return sorted({node.name for node in nodes if any(part in node.name for part in kept_in_float32)})


def _in_float16(path: Path, kept_in_float32: Sequence[str]) -> Any:
    from onnxruntime.transformers.float16 import (  # noqa: PLC0415  an optional extra
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )
    from onnxruntime.transformers.onnx_model import OnnxModel  # noqa: PLC0415

    graph = convert_float_to_float16(
        str(path),
        keep_io_types=True,
        max_finite_val=MOST_IN_FLOAT16,
        # onnxruntime 1.31 dies of an LSTM in half precision on a CPU
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "LSTM"],
        node_block_list=_kept(path, kept_in_float32),
    )
    _spare_rounding(graph.graph)
    # what it adds stands last, and it adds a cast once more for each node that reads the same
    once = {tuple(node.output): node for node in graph.graph.node}
    del graph.graph.node[:]
    graph.graph.node.extend(once.values())
    sorted_graph = OnnxModel(graph)
    sorted_graph.topological_sort()
    return sorted_graph.model


def _spare_rounding(graph: Any) -> None:
    """Give nodes in float32 the outputs of other such nodes, which the converter rounds to float16 and casts back."""
    casts = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.name.endswith(("_cast_to_fp16_node", "_cast_to_fp32_node")) or node.name.startswith("graph_input_cast")
    }
    outputs = {output.name for output in graph.output}
    for node in graph.node:
        if node.output[0] in outputs and node.name.startswith("graph_output_cast"):
            node.input[0] = casts.get(node.input[0], node.input[0])
        elif node.output[0] not in casts:
            node.input[:] = [casts.get(casts.get(name, ""), name) for name in node.input]


def _in_int8(path: Path, kept_in_float32: Sequence[str]) -> Any:
    import onnx  # noqa: PLC0415  an optional extra
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    out = path.with_name("int8.onnx")
    # unsigned weights: products of unsigned and signed ones overflow on processors without VNNI
    quantize_dynamic(
        path,
        out,
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=_kept(path, kept_in_float32),
        per_channel=True,
        weight_type=QuantType.QUInt8,
        use_external_data_format=True,
    )
    return onnx.load(out)


def _is_large(graph: Any) -> bool:
    # one tensor after another: protobuf cannot measure what it could not write
    num_bytes: int = sum(tensor.ByteSize() for tensor in graph.graph.initializer)
    return num_bytes > MOST_BYTES_IN_GRAPH


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter and the quantiser tell their own developers from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
