"""ONNX files of NeMo's models: the encoder's graph, files for onnx-asr and sherpa-onnx, and comparison with torch.

onnx-asr reads config.json and vocab.txt, sherpa-onnx tokens.txt and the metadata of the encoder's graph.
B batch, M mel bins, T frames, P positions of the encoder, D its width.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.export.onnx_files import largest_difference
from eartune.families._nemo.base import NemoModel
from eartune.families._nemo.features import FeatureSettings
from eartune.ops.widths import within

# NeMo's names, which the runtimes expect
INPUTS = ("audio_signal", "length")
INPUT_AXES = {"audio_signal": {0: "batch", 2: "time"}, "length": {0: "batch"}}
# float16 cannot represent every integer position above 2048
KEPT_IN_FLOAT32 = ("encode_positions",)


class EncoderGraph(nn.Module):
    """Features [B, M, T] and their lengths [B] -> encoder outputs [B, P, D] and their lengths [B].

    The forward of transformers' encoder with integer lengths, as float16 would round them.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, audio_signal_BMT: torch.Tensor, length_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoder = self.encoder
        mask_BT = within(length_B, audio_signal_BMT.shape[2])
        states_BPD = encoder.subsampling(audio_signal_BMT.transpose(1, 2), mask_BT) * encoder.input_scale
        for layer in encoder.subsampling.layers:
            length_B = encoder.subsampling._get_output_length(length_B, layer)
        valid_BP = within(length_B, states_BPD.shape[1])
        mask_B1PP = (valid_BP[:, None, :] & valid_BP[:, :, None])[:, None]
        positions = encoder.encode_positions(states_BPD)
        for layer in encoder.layers:
            states_BPD = layer(states_BPD, attention_mask=mask_B1PP, position_embeddings=positions)
        return states_BPD, length_B


BLANK = "<blk>"
# lengths of noise clips to compare graphs with torch: a batch as traced, and one of another size
PROBES_S = ((2.0, 1.5), (0.7, 1.0, 2.9))


def require_known_features(model: NemoModel, folder: Path) -> None:
    """Raise InputError for features that the two runtimes, which have their own code for them, do not compute."""
    settings = model.log_mel.settings
    usual = FeatureSettings(settings.feature_size)
    if settings != usual:
        differing = [name for name, value in asdict(usual).items() if asdict(settings)[name] != value]
        unusual = ", ".join(
            f"{name} {asdict(settings)[name]} (they compute {asdict(usual)[name]})" for name in differing
        )
        raise InputError(
            f"{folder}: onnx-asr and sherpa-onnx do not support features with {unusual}; export this model to .nemo"
            " and run it in NeMo"
        )


def write_vocabulary(model: NemoModel, folder: Path, *, num_tokens: int, blank: bool) -> None:
    """Write tokens.txt and vocab.txt, a token and its id in each line, the blank last.

    Raises InputError for tokens that such a file cannot hold.
    """
    pieces: list[str | None] = model.tokenizer.convert_ids_to_tokens(list(range(num_tokens)))
    for number, piece in enumerate(pieces):
        # sherpa-onnx splits at ASCII white space, onnx-asr at line ends
        if not piece or re.search(r"\s", piece, re.ASCII):
            raise InputError(f"{folder}: token {number} is {piece!r}, which tokens.txt cannot hold; export it to .nemo")
    if blank and BLANK in pieces:
        raise InputError(
            f"{folder}: has a token {BLANK!r}, which is the name of the blank in tokens.txt; export it to .nemo"
        )
    lines = "".join(f"{piece} {number}\n" for number, piece in enumerate([*pieces, *([BLANK] if blank else [])]))
    for name in ("tokens.txt", "vocab.txt"):
        (folder / name).write_text(lines, encoding="utf-8", newline="\n")


def write_config(model: NemoModel, folder: Path, *, model_type: str, **more: int) -> None:
    """Write onnx-asr's config.json."""
    config = {
        "model_type": model_type,
        "features_size": model.log_mel.settings.feature_size,
        "subsampling_factor": _subsampling_factor(model),
    }
    (folder / "config.json").write_text(json.dumps(config | more, indent=2) + "\n", encoding="utf-8")


def encoder_metadata(model: NemoModel, *, model_type: str, vocab_size: int) -> dict[str, object]:
    """Return the metadata that sherpa-onnx reads from the encoder's graph; `model_type` is the name of NeMo's class."""
    return {
        "model_type": model_type,
        "vocab_size": vocab_size,
        "subsampling_factor": _subsampling_factor(model),
        # all that features.py reads
        "normalize_type": "per_feature",
        "feat_dim": model.log_mel.settings.feature_size,
    }


def probes(model: NemoModel) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield features [B, M, T] of noise clips and their lengths [B], on the CPU, in float32."""
    generator = np.random.default_rng(0)
    for seconds in PROBES_S:
        clips: Sequence[npt.NDArray[np.float32]] = [
            0.1 * generator.standard_normal(round(each * SAMPLE_RATE_HZ)).astype(np.float32) for each in seconds
        ]
        found = model.features_of(clips)
        yield found["input_features"].cpu().float().transpose(1, 2).contiguous(), found["attention_mask"].sum(1).cpu()


def difference_within(found_BPV: npt.NDArray[np.float32], expected_BPV: torch.Tensor, valid_BP: torch.Tensor) -> float:
    """Return the largest difference at positions of the clips, ignoring padding."""
    valid_BP1 = valid_BP.bool()[..., None].numpy()
    if found_BPV.shape != tuple(expected_BPV.shape):
        return float("inf")
    return largest_difference(
        {"found": np.where(valid_BP1, found_BPV, 0)}, {"found": np.where(valid_BP1, expected_BPV.numpy(), 0)}
    )


def _subsampling_factor(model: NemoModel) -> int:
    return int(model.network.config.encoder_config.subsampling_factor)
