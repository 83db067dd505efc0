"""A CTC encoder as ONNX: a folder as onnx-asr reads it, with raw samples as input.

modules    the network with its features in the one piece that is traced
agreement  the graph in onnxruntime beside the network in torch
runtime    a folder in ONNX Runtime
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from eartune.errors import InputError
from eartune.export.onnx_files import Quantization, evaluating, require_close, require_onnx, write_graph
from eartune.families.wav2vec2 import ONNX_TYPE
from eartune.families.wav2vec2.model import Wav2Vec2Model
from eartune.families.wav2vec2.network import ctc_of, samples_per_position
from eartune.families.wav2vec2.onnx.agreement import INPUTS, OUTPUT, measure_agreement, probes
from eartune.families.wav2vec2.onnx.modules import CtcGraph
from eartune.families.wav2vec2.onnx.runtime import SPECIAL
from eartune.model import SpeechModel

MODEL, VOCABULARY, CONFIG = "model.onnx", "vocab.txt", "config.json"


def write_onnx(model: SpeechModel, folder: Path, *, quantization: Quantization) -> float:
    """Write graph, vocabulary and settings to an empty folder; return how far the graph is from torch, at most.

    Raises InputError where a package is missing or the vocabulary cannot be written, and EartuneError where the
    float32 graph gives other outputs than the model.
    """
    assert isinstance(model, Wav2Vec2Model)
    require_onnx()
    _write_vocabulary(model, folder)
    config = {"model_type": ONNX_TYPE, "subsampling_factor": samples_per_position(model.network)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    with evaluating(ctc_of(model.network)) as network, torch.no_grad():
        graph = CtcGraph(model.extractor.cpu(), network, int(model.tokenizer.pad_token_id)).eval()
        write_graph(
            graph,
            folder / MODEL,
            inputs=dict(zip(INPUTS, next(probes()), strict=True)),
            outputs=[OUTPUT],
            dynamic={
                INPUTS[0]: {0: "batch", 1: "samples"},
                INPUTS[1]: {0: "batch"},
                OUTPUT: {0: "batch", 1: "positions"},
            },
            quantization=quantization,
            # sums over all samples of a clip, and logarithms
            kept_in_float32=("extractor",),
        )
        difference = measure_agreement(graph, folder / MODEL)
    require_close(difference, folder, quantization=quantization)
    return difference


def _write_vocabulary(model: Wav2Vec2Model, folder: Path) -> None:
    """Write vocab.txt, a token and its number in each line. Raises InputError for tokens that it cannot hold."""
    tokenizer = model.tokenizer
    own = vars(model.special)
    named = {own[key]: name for key, name in vars(SPECIAL).items() if isinstance(name, str) and own[key]}
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    names = [named.get(token, token) for token, _ in vocabulary]
    for name in names:
        if not name or any(character.isspace() for character in name) or names.count(name) > 1:
            raise InputError(f"{folder}: has a token {name!r}, which {VOCABULARY} cannot hold; export it with --to hf")
    if tokenizer.do_lower_case:
        names = [name if name in vars(SPECIAL).values() else name.lower() for name in names]
    lines = "".join(f"{name} {number}\n" for number, name in enumerate(names))
    (folder / VOCABULARY).write_text(lines, encoding="utf-8", newline="\n")
