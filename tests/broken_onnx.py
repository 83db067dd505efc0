"""Folders of ONNX, broken in one way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def transpose_weights(path: Path, *, count: int = 4) -> None:
    """Transpose square matrices of a graph's matrix products, wherever its weights lie."""
    graph = onnx.load(path)
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if count and values.ndim == 2 and values.shape[0] == values.shape[1] > 1 and "MatMul" in tensor.name:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values.T), tensor.name))
            count -= 1
    assert count == 0, "no such matrices"
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)
    onnx.save(graph, path)


def shift_tokens(path: Path) -> None:
    """Give each token the number of the next, but for the blank."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pieces = [line.rpartition(" ")[0] for line in lines]
    last = len(pieces) - (pieces[-1] == "<blk>")
    pieces[:last] = [pieces[last - 1], *pieces[: last - 1]]
    path.write_text("".join(f"{piece} {number}\n" for number, piece in enumerate(pieces)), encoding="utf-8")


def leave_out_token(path: Path) -> None:
    """Leave out a token near the beginning and number the others on."""
    pieces = [line.rpartition(" ")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    del pieces[3]
    path.write_text("".join(f"{piece} {number}\n" for number, piece in enumerate(pieces)), encoding="utf-8")


def set_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def set_metadata(path: Path, **values: str) -> None:
    """Set metadata of a graph; an empty value takes it away."""
    graph = onnx.load(path)
    found = {each.key: each.value for each in graph.metadata_props} | values
    onnx.helper.set_model_props(graph, {name: value for name, value in found.items() if value})
    onnx.save(graph, path)


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
