"""The graph in onnxruntime beside the network in torch.

B batch, S samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from eartune.audio import SAMPLE_RATE_HZ
from eartune.export.onnx_files import largest_difference, run_graph
from eartune.model import Waveform, pad_waveforms

INPUTS, OUTPUT = ("input_values", "input_lengths"), "logprobs"
# lengths of noise clips: a batch as traced, and one of another size
PROBES_S = ((2.0, 1.5), (0.7, 1.0, 2.9))


def probes() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches of noise clips [B, S] and their numbers of samples [B]."""
    generator = np.random.default_rng(0)
    for seconds in PROBES_S:
        clips: list[Waveform] = [
            0.1 * generator.standard_normal(round(each * SAMPLE_RATE_HZ)).astype(np.float32) for each in seconds
        ]
        yield pad_waveforms(clips), torch.tensor([len(clip) for clip in clips])


def measure_agreement(graph: nn.Module, path: Path) -> float:
    """Return the largest difference between the outputs of a written graph and of the module it was traced from."""
    differences = []
    for waveforms_BS, samples_B in probes():
        found = run_graph(path, dict(zip(INPUTS, (waveforms_BS.numpy(), samples_B.numpy()), strict=True)))
        differences.append(largest_difference(found, {OUTPUT: graph(waveforms_BS, samples_B).numpy()}))
    return max(differences)
