"""The options of windows: how clips fill what the encoder sees, and how much speech a step holds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eartune.config.options import Section

Share = Annotated[float, Field(ge=0, le=1)]


class WindowSection(Section):
    """Windows: how clips fill what the encoder sees, and how much speech a step holds."""

    window: Literal["padded", "packed", "short"] = "packed"
    """padded: each clip in a window of 30 s, as Whisper was made for. packed: several clips of one language behind each
    other in a window of 30 s. short: the encoder sees only as much as the longest clip of its batch. packed and short
    are several times faster on short clips."""
    batch_seconds: Annotated[float, Field(gt=0)] | Literal["auto"] | None = None
    """Seconds of speech per forward pass, in place of `per_device_train_batch_size`; a step has
    `gradient_accumulation_steps` of them. auto: a step holds as many utterances as `per_device_train_batch_size` and
    `gradient_accumulation_steps` say, in as few passes as the memory allows, which is measured."""
    packed_gap: Annotated[float, Field(ge=0, le=5)] = 0.6
    """Longest silence between packed clips, in seconds; drawn anew for each."""
    packed_timestamps: Share = 0.5
    """Share of packed windows that are trained with the times of their clips, the others without. So often, too, a clip
    that is alone in its window is trained with the times of its sentences, where the manifest has them."""
    packed_alone: Share = 0.0
    """Share of utterances that have a packed window to themselves, as they will when they are decoded."""
    short_margin: Annotated[float, Field(ge=0, le=28)] = 1.28
    """Least silence after a clip in a short window, in seconds."""
    short_jitter: Annotated[float, Field(ge=0, le=28)] = 1.0
    """Most further silence, in seconds; drawn anew for each clip."""
    short_full: Share = 0.1
    """Share of the steps that come in full windows instead, packed, so that the model keeps working on 30 s windows."""
    spec_augment: bool = False
    """Mask stretches of time and frequency of the features (SpecAugment): for small corpora and many passes."""
    mask_time_prob: Share = 0.05
    """SpecAugment: share of the frames that masks of time begin to cover."""
    mask_time_length: Annotated[int, Field(ge=1)] = 10
    """SpecAugment: length of a mask of time, in frames of 10 ms."""
    mask_feature_prob: Share = 0.05
    """SpecAugment: share of the mel bins that masks of frequency begin to cover."""
    mask_feature_length: Annotated[int, Field(ge=1)] = 10
    """SpecAugment: length of a mask of frequency, in mel bins."""
