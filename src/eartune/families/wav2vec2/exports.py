"""Export formats of CTC encoders: Hugging Face folders, and an ONNX graph as onnx-asr reads it.

B batch, S samples, P positions of the encoder, V tokens with the blank.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.export.exporter import Writer, save_folder
from eartune.export.onnx_files import (
    evaluating,
    largest_difference,
    require_close,
    require_onnx,
    run_graph,
    write_graph,
)
from eartune.families.wav2vec2 import ONNX_TYPE
from eartune.families.wav2vec2.features import within
from eartune.families.wav2vec2.model import Wav2Vec2Model
from eartune.families.wav2vec2.network import ctc_of, num_positions, samples_per_position
from eartune.families.wav2vec2.runtimes import SPECIAL
from eartune.model import Network, SpeechModel, Waveform, pad_waveforms

MODEL, VOCABULARY, CONFIG = "model.onnx", "vocab.txt", "config.json"
INPUTS, OUTPUT = ("input_values", "input_lengths"), "logprobs"
# log-probability of all other tokens after the end of a clip
NEVER = -1e4
# lengths of the clips that graph and network are compared on: a batch as traced, and one of another size
PROBES_S = ((2.0, 1.5), (0.7, 1.0, 2.9))


class _Graph(nn.Module):
    """Samples [B, S] and their numbers [B] -> log-probabilities [B, P, V], of the blank after the end of a clip."""

    def __init__(self, extractor: nn.Module, network: Network, blank: int) -> None:
        super().__init__()
        self.extractor, self.network, self.blank = extractor, network, blank

    def forward(self, waveforms_BS: torch.Tensor, samples_B: torch.Tensor) -> torch.Tensor:
        inputs = self.extractor(waveforms_BS, samples_B)
        log_probs_BPV = self.network(**inputs).logits.float().log_softmax(dim=-1)
        lengths_B = num_positions(self.network, inputs["attention_mask"].sum(dim=1))
        is_speech_BP1 = within(lengths_B, log_probs_BPV.shape[1])[..., None]
        is_blank_V = torch.arange(log_probs_BPV.shape[2]) == self.blank
        return torch.where(is_speech_BP1, log_probs_BPV, torch.where(is_blank_V, 0.0, NEVER))


def write_onnx(model: SpeechModel, folder: Path, quantization: Any, _original: Path | None) -> float:
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
        graph = _Graph(model.extractor.cpu(), network, int(model.tokenizer.pad_token_id)).eval()
        batches = [_noise(seconds) for seconds in PROBES_S]
        write_graph(
            graph,
            folder / MODEL,
            inputs=dict(zip(INPUTS, batches[0], strict=True)),
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
        difference = max(_difference(graph, folder / MODEL, *batch) for batch in batches)
    require_close(difference, folder, quantization=quantization)
    return difference


def _noise(seconds: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    clips: list[Waveform] = [
        0.1 * generator.standard_normal(round(each * SAMPLE_RATE_HZ)).astype(np.float32) for each in seconds
    ]
    return pad_waveforms(clips), torch.tensor([len(clip) for clip in clips])


def _difference(graph: nn.Module, path: Path, waveforms_BS: torch.Tensor, samples_B: torch.Tensor) -> float:
    found = run_graph(path, dict(zip(INPUTS, (waveforms_BS.numpy(), samples_B.numpy()), strict=True)))
    return largest_difference(found, {OUTPUT: graph(waveforms_BS, samples_B).numpy()})


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


WRITERS: dict[str, Writer] = {"onnx": write_onnx, "hf": save_folder}
