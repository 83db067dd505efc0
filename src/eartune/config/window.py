"""Options of windows: how utterances are placed in the encoder's input, and how much speech a step has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eartune.config.options import Section

Share = Annotated[float, Field(ge=0, le=1)]


class WindowSection(Section):
    """Windows: how utterances are placed in the encoder's input, and how much speech a step has."""

    window: Literal["padded", "packed", "short"] = "packed"
    """padded: each utterance in the full window of a model that has one (30 s). packed: several utterances of one
    language concatenated in a window of 30 s. short: windows as long as the longest utterance of the batch. packed and
    short are several times faster on short utterances."""
    batch_seconds: Annotated[float, Field(gt=0)] | Literal["auto"] | None = None
    """Seconds of speech per forward pass, in place of `per_device_train_batch_size`; a step has
    `gradient_accumulation_steps` passes. auto: a step has `per_device_train_batch_size` times
    `gradient_accumulation_steps` utterances, in as few passes as the memory, which is measured, allows."""
    packed_gap: Annotated[float, Field(ge=0, le=5)] = 0.6
    """Longest silence between packed utterances, in seconds; sampled at random for each."""
    packed_timestamps: Share = 0.5
    """Share of packed windows that are trained with timestamps of their utterances, and of windows with one utterance
    that are trained with timestamps of its sentences, if the manifest has them."""
    packed_alone: Share = 0.0
    """Share of utterances that get a packed window of their own, as in decoding."""
    short_margin: Annotated[float, Field(ge=0, le=28)] = 1.28
    """Least silence after an utterance in a short window, in seconds."""
    short_jitter: Annotated[float, Field(ge=0, le=28)] = 1.0
    """Upper limit of additional silence, in seconds; sampled at random for each utterance."""
    short_full: Share = 0.1
    """Share of the steps with packed 30 s windows instead, so that the model keeps working on 30 s windows."""
    spec_augment: bool = False
    """Mask ranges of time and frequency of the features (SpecAugment): for small corpora and many epochs."""
    mask_time_prob: Share = 0.05
    """SpecAugment: share of the frames that time masks cover if none overlap."""
    mask_time_length: Annotated[int, Field(ge=1)] = 10
    """SpecAugment: length of a time mask, in frames of 10 ms."""
    mask_feature_prob: Share = 0.05
    """SpecAugment: share of the mel bins that frequency masks cover if none overlap."""
    mask_feature_length: Annotated[int, Field(ge=1)] = 10
    """SpecAugment: length of a frequency mask, in mel bins."""
