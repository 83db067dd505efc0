"""A folder in onnxruntime beside the network in torch.

B batch, M mel bins, T frames, P positions of the encoder, U tokens, C tokens read before, D width of the decoder, L its
layers, V tokens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import CanaryForConditionalGeneration

from eartune.export.onnx_files import largest_difference, run_graph
from eartune.families._nemo.onnx import INPUTS, probes
from eartune.families.canary.model import CanaryModel
from eartune.families.canary.onnx.graphs import DECODER, ENCODER
from eartune.ops.widths import within

_PROBE_TOKENS = 12


def measure_agreement(
    model: CanaryModel, network: CanaryForConditionalGeneration, folder: Path, num_tokens: int
) -> float:
    """Return how far log probabilities are from torch's, at most; the tokens of a clip are read in two steps."""
    generator = torch.Generator().manual_seed(0)
    decoder_config = network.config.decoder_config
    differences = []
    for features_BMT, length_B in probes(model):
        tokens_BU = torch.randint(0, num_tokens, (len(length_B), _PROBE_TOKENS), generator=generator)
        expected_BUV = network(
            input_features=features_BMT.transpose(1, 2),
            attention_mask=within(length_B, features_BMT.shape[2]),
            decoder_input_ids=tokens_BU,
            use_cache=False,
        ).logits.log_softmax(dim=-1)
        encoded = run_graph(folder / ENCODER, dict(zip(INPUTS, (features_BMT.numpy(), length_B.numpy()), strict=True)))
        encoder_outputs = {name: encoded[name] for name in ("encoder_embeddings", "encoder_mask")}
        past = np.zeros(
            (2 * decoder_config.num_hidden_layers, len(length_B), 0, decoder_config.hidden_size), np.float32
        )
        # as a prompt, and as a token behind it
        for part in (slice(0, _PROBE_TOKENS - 1), slice(_PROBE_TOKENS - 1, None)):
            found = run_graph(
                folder / DECODER, encoder_outputs | {"input_ids": tokens_BU[:, part].numpy(), "decoder_mems": past}
            )
            past = found["decoder_hidden_states"]
            wanted = {"logits": expected_BUV[:, part, :num_tokens].numpy()}
            differences.append(largest_difference(found, wanted))
    return max(differences)
