"""Options of partial training: layers that are trained in full while the rest of the network is frozen."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eartune.config.options import Section


class PartialSection(Section):
    """Partial: layers trained in full, the rest frozen or adapted. Setting one of these selects method partial."""

    with_lora: bool = False
    """Add adapters (see the adapter options) to the target modules that are not trained in full."""
    unfreeze_encoder_last: Annotated[int, Field(ge=0)] = 0
    """Number of layers to train at the end of the encoder."""
    unfreeze_decoder_last: Annotated[int, Field(ge=0)] = 0
    """Number of layers to train at the end of the decoder."""
    unfreeze_head: bool = False
    """Train the output head, which maps decoder states to tokens. Where its weights are tied to the token embedding,
    both are trained."""
    unfreeze_language_adapters: bool = False
    """Train the language adapters in the encoder's layers, and the output head that belongs to them (MMS)."""
    train_norms: bool = False
    """Train weights and biases of all LayerNorms and BatchNorms; a BatchNorm's running statistics are not updated."""
    train_bias: bool = False
    """Train all biases."""
