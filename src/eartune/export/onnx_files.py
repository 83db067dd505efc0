"""ONNX graphs on disk: traced from a module, in half precision or with 8-bit weights, run again and compared.

Traced by torch.onnx's TorchScript exporter: the dynamo exporter cannot trace torch's attention with computed lengths,
and takes minutes instead of seconds.
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
# a protobuf message has at most 2 GiB: weights of larger models are in a file beside the graph
MAX_BYTES_IN_GRAPH = 2**31 - 2**26
# mask values are clipped to this in half precision, where the sum of two of the largest numbers overflows
MAX_IN_FLOAT16 = 1e4
# largest difference of a float32 graph's outputs from torch's
FLOAT32_LIMIT = 1e-3


def require_onnx() -> None:
    """Raise InputError if a package that writing needs is missing."""
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
    """Trace the forward of a module in evaluation mode, on the CPU, and write it; the module is not changed.

    `inputs` are its arguments in order, `dynamic` names the axes of inputs and outputs that vary. Weights beyond 2 GiB,
    or all with `weights_beside`, are written to PATH.data. float16: weights and arithmetic; inputs, outputs, LSTMs and
    nodes with one of `kept_in_float32` in their names (which contain the names of modules) stay in float32. int8: the
    weights of matrix products, except in those nodes; convolutions, LSTMs and embeddings stay in float32.
    Raises EartuneError if torch cannot trace the module.
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
    """Return the graph that `write_graph` writes; temporary files in `folder` are removed."""
    import onnx  # noqa: PLC0415  an optional extra

    # temporary files of weights are on the same disk as the output
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        traced = Path(temporary) / "traced.onnx"
        _trace(module, traced, inputs, outputs, dynamic)
        with _quiet():
            if quantization == "float16":
                return _in_float16(traced, kept_in_float32)
            return _in_int8(traced, kept_in_float32) if quantization == "int8" else onnx.load(traced)


def save_graph(graph: Any, path: Path, *, metadata: Mapping[str, object], weights_beside: bool = False) -> None:
    """Write a graph with this metadata, replacing existing files; weights that are too large go into a file beside it.

    A graph that was loaded without its weights keeps its references to their files.
    """
    import onnx  # noqa: PLC0415  an optional extra

    onnx.helper.set_model_props(graph, {name: str(value) for name, value in metadata.items()})
    external = weights_beside or _is_large(graph)
    weights = path.with_name(f"{path.name}.data")
    # onnx appends to an existing file
    weights.unlink(missing_ok=True)
    onnx.save(graph, path, save_as_external_data=external, location=weights.name if external else None)


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
    """Raise EartuneError if a float32 graph differs from torch, or any graph returns values that are not finite."""
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
    """Yield a module in float32 on the CPU, in evaluation mode: itself, or a copy if it has another type or device."""
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


def _float32_nodes(path: Path, kept_in_float32: Sequence[str]) -> list[str]:
    """Return the nodes of a graph whose names contain one of `kept_in_float32`."""
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
        max_finite_val=MAX_IN_FLOAT16,
        # onnxruntime 1.31 crashes with an LSTM in half precision on a CPU
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "LSTM"],
        node_block_list=_float32_nodes(path, kept_in_float32),
    )
    _remove_rounding(graph.graph)
    # the converter appends its casts at the end, and repeats a cast for each node that reads the same value
    once = {tuple(node.output): node for node in graph.graph.node}
    del graph.graph.node[:]
    graph.graph.node.extend(once.values())
    sorted_graph = OnnxModel(graph)
    sorted_graph.topological_sort()
    return sorted_graph.model


def _remove_rounding(graph: Any) -> None:
    """Connect float32 nodes directly, between which the converter casts to float16 and back."""
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
        nodes_to_exclude=_float32_nodes(path, kept_in_float32),
        per_channel=True,
        weight_type=QuantType.QUInt8,
        use_external_data_format=True,
    )
    return onnx.load(out)


def _is_large(graph: Any) -> bool:
    # tensor by tensor: protobuf cannot measure a message that is too large to write
    num_bytes: int = sum(tensor.ByteSize() for tensor in graph.graph.initializer)
    return num_bytes > MAX_BYTES_IN_GRAPH


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of the exporter and the quantiser, which are for their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
