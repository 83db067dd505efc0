"""The embedding of a decoder whose head has 8-bit weights: both read the one table [D, V]."""

from __future__ import annotations

from typing import Any

# what onnxruntime's quantiser makes of a table, by the endings of their names, and the axis of tokens in each
PARTS = {"quantized": 1, "scale": 0, "zero_point": 0}


# Any: onnx describes no types
def quantize_embedding(model: Any) -> None:
    """Let the embedding read the columns that the quantiser made of the table for the head, each with its own scale.

    The float table is removed. Where head and embedding are not tied, the embedding stays in float.
    """
    from onnx import helper  # noqa: PLC0415  an optional extra

    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    lookups = [node for node in graph.node if node.op_type == "Gather" and f"{node.input[0]}_quantized" in weights]
    if not lookups:
        return
    (lookup,) = lookups
    table, tokens = lookup.input
    gathered = [f"{lookup.output[0]}_{part}" for part in PARTS]
    nodes = [
        helper.make_node("Gather", [f"{table}_{part}", tokens], [f"{lookup.output[0]}_{part}"], axis=axis)
        for part, axis in PARTS.items()
    ]
    nodes.append(helper.make_node("DequantizeLinear", gathered, list(lookup.output), axis=1))
    at = list(graph.node).index(lookup)
    del graph.node[at]
    for number, node in enumerate(nodes):
        graph.node.insert(at + number, node)
    graph.initializer.remove(weights[table])
