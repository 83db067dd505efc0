"""Two decoders in one graph, which share their weights: an If between them, as Optimum's merge_decoders builds it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

# what is smaller stays in the branch that uses it: onnxruntime looks for the constants of shapes there
MIN_SHARED_BYTES = 1024

# Any in this file: onnx describes no types


def merge_branches(first: Any, following: Any, *, flag: str) -> Any:
    """Return a graph that runs `following` where the input `flag` [1] is true, else `first`; both are used up.

    Outputs that only `first` has are empty along their first axis where `following` runs.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415  an optional extra

    outputs = [copy.deepcopy(each) for each in first.graph.output]
    inputs = {each.name: each for graph in (first, following) for each in graph.graph.input}
    _give_all(following.graph, outputs)
    shared: dict[str, Any] = {}
    sides = {
        f"{name}_branch": _branch(model.graph, name, given=set(inputs), shared=shared)
        for name, model in (("else", first), ("then", following))
    }
    graph = helper.make_graph(
        [helper.make_node("If", [flag], [each.name for each in outputs], name="past", **sides)],
        "merged",
        [*inputs.values(), helper.make_tensor_value_info(flag, TensorProto.BOOL, [1])],
        outputs,
        initializer=list(shared.values()),
    )
    opsets = {each.domain: each for model in (first, following) for each in model.opset_import}
    return helper.make_model(
        graph, producer_name="eartune", opset_imports=list(opsets.values()), ir_version=first.ir_version
    )


def _give_all(graph: Any, outputs: Sequence[Any]) -> None:
    """Give a graph all `outputs`, in their order; those it lacks are empty."""
    from onnx import TensorProto, helper  # noqa: PLC0415  an optional extra

    own = {each.name: copy.deepcopy(each) for each in graph.output}
    for each in outputs:
        if each.name not in own:
            lengths = [axis.dim_value or 1 for axis in each.type.tensor_type.shape.dim]
            empty = helper.make_tensor("empty", TensorProto.FLOAT, [0, *lengths[1:]], [])
            graph.node.append(helper.make_node("Constant", [], [each.name], value=empty))
    del graph.output[:]
    graph.output.extend([own.get(each.name, each) for each in outputs])


def _branch(graph: Any, name: str, *, given: set[str], shared: dict[str, Any]) -> Any:
    """Return a graph as one side of an If, with names of its own; large weights are left to `shared`."""
    from onnx import helper  # noqa: PLC0415  an optional extra

    renamed = {each: each for each in given}
    small = []
    for weight in graph.initializer:
        before = weight.name
        weight.name = f"{name}/{before}"
        if weight.ByteSize() < MIN_SHARED_BYTES:
            small.append(weight)
        else:
            renamed[before] = shared.setdefault(_fingerprint(weight), weight).name
    for node in graph.node:
        assert not any(attribute.HasField("g") for attribute in node.attribute), "names within are not renamed"
        # where in this program's files a node comes from
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        node.name = f"{name}/{node.name}" if node.name else ""
        for names in (node.input, node.output):
            names[:] = [renamed.get(each, f"{name}/{each}") if each else each for each in names]
    for output in graph.output:
        output.name = f"{name}/{output.name}"
    return helper.make_graph(list(graph.node), name, [], list(graph.output), initializer=small)


def _fingerprint(weight: Any) -> str:
    """Return a text that is the same for equal weights only."""
    from onnx import numpy_helper  # noqa: PLC0415  an optional extra

    values = numpy_helper.to_array(weight)
    return f"{values.dtype} {values.shape} {sha256(values).hexdigest()}"
