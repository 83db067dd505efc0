"""Tiny random Parakeets and Canaries that say something, and something else of each clip.

Random encoders say nearly the same of every sound. Here what reads their states reads the differences.
B batch, P positions of the encoder, D its width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eartune.families.registry import family
from eartune.model import Waveform
from tests.tiny_nemo import CHANNELS, HIDDEN, write_tiny_nemo

# how strongly a head speaks, and how much a transducer says nothing
LOUDNESS = 2.0
BLANK_BIAS = {"ctc": 2.0, "rnnt": 9.0, "tdt": 4.0, "hybrid": 4.0}
NEVER = -1000.0
# words end where others begin
WORD_BIAS = 2.0


def lively_model(
    folder: Path, kind: str, *, num_mels: int = 80, weights: Mapping[str, torch.Tensor] | None = None, **changes: Any
) -> Any:
    """Return a random model of a kind in tests/tiny_nemo.py, with so many mel bins, other shapes and other settings."""
    generator = torch.Generator().manual_seed(1)
    shape = (HIDDEN, CHANNELS * num_mels // 8)
    weights = {"encoder.pre_encode.out.weight": 0.3 * torch.randn(shape, generator=generator)} | dict(weights or {})
    settings = {"preprocessor__features": num_mels, "encoder__feat_in": num_mels, **changes}
    path = write_tiny_nemo(folder / f"{kind}.nemo", kind, weights=weights, **settings)
    family_module = family("canary" if kind == "canary" else "parakeet")
    model: Any = family_module.load(family_module.find(str(path)), language="en")
    enliven(model, BLANK_BIAS.get(kind, 0.0))
    return model


@torch.no_grad()
def enliven(model: Any, blank_bias: float) -> None:
    """Have a model read how the encoder's states of a clip differ from those of others, and speak loudly of it."""
    network, generator = model.network, torch.Generator().manual_seed(2)
    encoded = model.encode(model.features_of(varied_clips()))
    states_ND = encoded.flatten(0, 1)
    mean_D = states_ND.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(states_ND.T))
    whitening_DD = vectors @ torch.diag(values.clamp_min(1e-4).rsqrt()) @ vectors.T

    def read_differences(module: Any, scale: float) -> None:
        weight = module.weight
        random = torch.randn(len(weight), states_ND.shape[1], generator=generator) * scale / states_ND.shape[1] ** 0.5
        weight.copy_((random @ whitening_DD).reshape(weight.shape))
        module.bias.copy_(-(weight.reshape(len(weight), -1) @ mean_D))

    if hasattr(network, "ctc_head"):
        read_differences(network.ctc_head, LOUDNESS)
        head, blank = network.ctc_head, network.config.pad_token_id
    elif hasattr(network, "joint"):
        read_differences(network.encoder_projector, 2 * LOUDNESS)
        head, blank = network.joint.head, network.config.blank_token_id
        head.weight.normal_(generator=generator)
        head.bias.zero_()
    else:
        for layer in network.model.decoder.layers:
            for each in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj):
                read_differences(each, 2 * LOUDNESS)
        head, blank = network.proj_out, None
    if blank is not None:
        head.bias[blank] += blank_bias
    # what programs write in ways of their own: the unknown token, symbols, and marks that are not letters
    for piece, token in model.tokenizer.get_vocab().items():
        if not piece.strip("▁").isalpha():
            head.bias[token] = NEVER
        elif piece.startswith("▁") and blank is not None:
            head.bias[token] += WORD_BIAS
    if blank is None:
        head.bias[len(model.tokenizer.get_vocab()) :] = NEVER
        head.bias[model.labeler.end] = 0.0


def varied_clips(count: int = 4) -> list[Waveform]:
    """Return clips of tones and noise that come and go, of unlike lengths."""
    generator = np.random.default_rng(0)
    clips = []
    for number in range(count):
        seconds = np.arange(round(16_000 * (1.13 + 0.41 * number))) / 16_000
        noise = generator.standard_normal(seconds.size) * np.abs(np.sin(2 * np.pi * (0.7 + number) * seconds))
        tone = np.sin(2 * np.pi * (200 + 170 * number + 60 * seconds) * seconds) * (np.sin(9 * seconds) > 0)
        clips.append((0.1 * noise + 0.2 * tone).astype(np.float32))
    return clips
