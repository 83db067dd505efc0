"""Cross-entropy averaged over tokens, right across gradient accumulation and devices.

B batch, U tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from eartune.speech_model import IGNORED


def token_loss(
    outputs: Any,
    labels_BU: torch.Tensor,
    *,
    num_items_in_batch: torch.Tensor | int | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Sum the loss of this batch and divide by the tokens of the whole step (`num_items_in_batch`).

    Without that number the batch is averaged by itself. Always float32.
    """
    logits_BUV = outputs.logits
    summed = nn.functional.cross_entropy(
        logits_BUV.flatten(0, 1).float(),
        labels_BU.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    count = (labels_BU != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
    return summed / count
