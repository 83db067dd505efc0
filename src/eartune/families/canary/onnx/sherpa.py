"""A Canary's graphs behind the inputs and outputs that sherpa-onnx wants: the same nodes, the same files of weights.

Its encoder gets features [B, T, M]. Its decoder gets one token and its place at a time, [1, 2], and the states of each
layer apart. It leaves out the mark of a word's beginning, with which NeMo's prompts begin, and counts places from one
again behind the prompt: the graph adds the mark, and goes by the states instead of the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eartune.export.onnx_files import save_graph

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


def write_sherpa_graphs(folder: Path, decoder_config: Any, metadata: Mapping[str, object], *, first_token: int) -> None:
    """Write encoder.onnx and decoder.onnx beside encoder-model.onnx and decoder-model.onnx.

    `first_token` is the one before all prompts.
    """
    import onnx  # noqa: PLC0415  an optional extra

    num_states, width = 2 * decoder_config.num_hidden_layers, decoder_config.hidden_size
    encoder = onnx.load(folder / "encoder-model.onnx", load_external_data=False)
    _turn_features(encoder.graph)
    # it has a state for each layer, and here a layer has two
    states = {"num_decoder_layers": num_states, "decoder_hidden_size": width}
    save_graph(encoder, folder / ENCODER, metadata={**metadata, **states})
    decoder = onnx.load(folder / "decoder-model.onnx", load_external_data=False)
    _split_states(decoder.graph, num_states, width, first_token)
    save_graph(decoder, folder / DECODER, metadata={})


# Any: onnx describes no types
def _turn_features(graph: Any) -> None:
    """Have features [B, T, M] and their lengths, as x and x_len."""
    from onnx import TensorProto, helper  # noqa: PLC0415  an optional extra

    num_mels = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    nodes = [
        helper.make_node("Transpose", ["x"], ["audio_signal"], perm=[0, 2, 1]),
        helper.make_node("Identity", ["x_len"], ["length"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", num_mels]),
        helper.make_tensor_value_info("x_len", TensorProto.INT64, ["batch"]),
    ]
    _replace(graph, inputs=inputs, outputs=list(graph.output), before=nodes, after=[])


def _split_states(graph: Any, num_states: int, width: int, first_token: int) -> None:
    """Have a token and its place, and the states of layers apart."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415  an optional extra

    def constant(name: str, values: Any) -> None:
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))

    for name, values in {
        "sherpa_zero": [0], "sherpa_one": [1], "sherpa_last": [-1], "sherpa_end": [2**31],
        "sherpa_first_token": [[first_token]],
    }.items():  # fmt: skip
        constant(name, values)
    node = helper.make_node
    states = [f"states_{number}" for number in range(num_states)]
    apart, next_states = [f"{name}_apart" for name in states], [f"next_{name}" for name in states]
    before = [
        node("Slice", ["token_and_place", "sherpa_zero", "sherpa_one", "sherpa_one"], ["sherpa_token"]),
        node("Cast", ["sherpa_token"], ["sherpa_token_long"], to=TensorProto.INT64),
        # the mark stands before the first token only: from the first state on, nothing is left of it
        node("Shape", ["states_0"], ["sherpa_past"], start=1, end=2),
        node(
            "Slice",
            ["sherpa_first_token", "sherpa_past", "sherpa_end", "sherpa_one"],
            ["sherpa_mark"],
        ),
        node("Concat", ["sherpa_mark", "sherpa_token_long"], ["input_ids"], axis=1),
        *(node("Unsqueeze", [name, "sherpa_zero"], [each]) for name, each in zip(states, apart, strict=True)),
        node("Concat", apart, ["decoder_mems"], axis=0),
        node("Identity", ["enc_states"], ["encoder_embeddings"]),
        node("Identity", ["enc_mask"], ["encoder_mask"]),
    ]
    split = [f"{name}_split" for name in next_states]
    after = [
        node("Slice", ["logits", "sherpa_last", "sherpa_end", "sherpa_one"], ["last_logits"]),
        node("Split", ["decoder_hidden_states"], split, axis=0),
        *(node("Squeeze", [each, "sherpa_zero"], [name]) for each, name in zip(split, next_states, strict=True)),
    ]
    attended = graph.input[1].type.tensor_type.shape.dim[2].dim_value
    num_tokens = graph.output[0].type.tensor_type.shape.dim[2].dim_value
    value = helper.make_tensor_value_info
    inputs = [
        value("token_and_place", TensorProto.INT32, ["batch", 2]),
        *(value(name, TensorProto.FLOAT, ["batch", "past", width]) for name in states),
        value("enc_states", TensorProto.FLOAT, ["batch", "positions", attended]),
        value("enc_mask", TensorProto.INT64, ["batch", "positions"]),
    ]
    outputs = [
        value("last_logits", TensorProto.FLOAT, ["batch", 1, num_tokens]),
        *(value(name, TensorProto.FLOAT, ["batch", "all", width]) for name in next_states),
    ]
    _replace(graph, inputs=inputs, outputs=outputs, before=before, after=after)


def _replace(graph: Any, *, inputs: list[Any], outputs: list[Any], before: list[Any], after: list[Any]) -> None:
    nodes = [*before, *graph.node, *after]
    for field, values in (("input", inputs), ("output", outputs), ("node", nodes)):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
