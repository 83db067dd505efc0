"""The graphs in onnxruntime compared with the network in torch: logits of the first step, and of those with a past.

B batch, U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from eartune.export.onnx_files import largest_difference
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.onnx.session import WhisperGraphs

# tokens of the first step; those that follow come one by one, but for the last ones, which come together
FIRST, LAST = 4, 3


def measure_agreement(model: WhisperModel, folder: Path) -> float:
    """Return the largest difference of any logit [B, U, V], each step given the same tokens."""
    probe = {name: value.cpu() for name, value in model.probe_inputs().items()}
    expected_BUV = _in_torch(model, probe)
    tokens_BU = probe["decoder_input_ids"].numpy()
    num_tokens = tokens_BU.shape[1]
    ends = [FIRST, *range(FIRST + 1, num_tokens - LAST + 1), num_tokens]
    graphs = WhisperGraphs(folder, device="cpu", num_threads=torch.get_num_threads())
    states = graphs.encode(probe["input_features"].numpy())
    found, past, begin = [], None, 0
    for end in ends:
        logits_BUV, past = graphs.decode(tokens_BU[:, begin:end], states, past)
        found.append(logits_BUV)
        begin = end
    return largest_difference({"logits": np.concatenate(found, axis=1)}, {"logits": expected_BUV.numpy()})


@torch.no_grad()
def _in_torch(model: WhisperModel, probe: dict[str, torch.Tensor]) -> torch.Tensor:
    network = model.network
    training = network.training
    device = next(network.parameters()).device
    with torch.autocast(device.type, enabled=False):
        logits_BUV: torch.Tensor = network.eval()(**{name: value.to(device) for name, value in probe.items()}).logits
    network.train(training)
    return logits_BUV.float().cpu()
