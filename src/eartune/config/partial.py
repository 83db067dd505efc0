"""The options of partial training: what is trained in full while the rest of the network is frozen."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eartune.config.options import Section


class PartialSection(Section):
    """Partial: what is trained in full, the rest frozen or adapted. Setting one of these means method partial."""

    with_lora: bool = False
    """Put adapters (see the adapter options) into the target modules outside of what is trained in full."""
    unfreeze_encoder_last: Annotated[int, Field(ge=0)] = 0
    """Train this many layers at the end of the encoder."""
    unfreeze_decoder_last: Annotated[int, Field(ge=0)] = 0
    """Train this many layers at the end of the decoder."""
    unfreeze_head: bool = False
    """Train the head, which turns states into tokens. Where it shares its weights with the token embedding, as in
    Whisper, both are trained."""
    train_norms: bool = False
    """Train weights and biases of all LayerNorms and BatchNorms; a BatchNorm's running statistics stay as they are."""
    train_bias: bool = False
    """Train all biases."""
