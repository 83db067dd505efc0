"""What a clip costs in a Whisper of given sizes: products of matrices only, 2 operations per multiplication.

T frames of 10 ms, P positions of 20 ms, U tokens, D model width, F width of the feed-forward part, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import WhisperConfig

FRAMES_PER_SECOND = 100


@dataclass(frozen=True)
class Passes:
    """How often each part is gone through in training, in forward passes.

    A backward pass is one forward's worth for the gradients of inputs and one for those of weights.
    """

    encoder: float
    decoder: float


FULL = Passes(encoder=3, decoder=3)
# weights without gradients; those of the adapters are not worth counting
LORA = Passes(encoder=2, decoder=2)


def encoder_flops(config: WhisperConfig, num_frames: int) -> int:
    """Return the FLOPs of the encoder's forward pass over `num_frames` frames."""
    T, P = num_frames, math.ceil(num_frames / 2)
    D, F = config.d_model, config.encoder_ffn_dim
    convolutions = 2 * 3 * (T * config.num_mel_bins * D + P * D * D)
    layer = 4 * 2 * P * D * D + 2 * 2 * P * P * D + 2 * 2 * P * D * F
    flops: int = convolutions + config.encoder_layers * layer
    return flops


def decoder_flops(config: WhisperConfig, num_positions: int, num_tokens: int) -> int:
    """Return the FLOPs of the decoder's forward pass over all tokens at once, head included."""
    P, U = num_positions, num_tokens
    D, F, V = config.d_model, config.decoder_ffn_dim, config.vocab_size
    self_attention = 4 * 2 * U * D * D + 2 * 2 * U * U * D
    cross_attention = 2 * 2 * U * D * D + 2 * 2 * P * D * D + 2 * 2 * U * P * D
    layer = self_attention + cross_attention + 2 * 2 * U * D * F
    flops: int = config.decoder_layers * layer + 2 * U * D * V
    return flops


def useful_flops_per_audio_second(
    config: WhisperConfig, durations_s: Sequence[float], num_tokens: Sequence[int], passes: Passes
) -> float:
    """Return what training needs on average: real frames and tokens, no padding, nothing computed twice."""
    flops = 0.0
    for duration_s, tokens in zip(durations_s, num_tokens, strict=True):
        frames = math.ceil(duration_s * FRAMES_PER_SECOND)
        flops += passes.encoder * encoder_flops(config, frames)
        flops += passes.decoder * decoder_flops(config, math.ceil(frames / 2), tokens)
    return flops / sum(durations_s)
