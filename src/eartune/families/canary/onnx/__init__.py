"""Canary as ONNX: one folder that onnx-asr and sherpa-onnx read.

onnx-asr: encoder-model.onnx and decoder-model.onnx. sherpa-onnx: encoder.onnx and decoder.onnx, the same graphs behind
other inputs, whose weights are the same files. Vocabulary and settings: _nemo/onnx.py.

modules    the network in the pieces that are traced
graphs     these traced and written
sherpa     the same behind sherpa-onnx's inputs
agreement  the folder in onnxruntime beside the network in torch
"""

from __future__ import annotations

from pathlib import Path

import torch

from eartune.export.onnx_files import Quantization, evaluating, require_close, require_onnx
from eartune.families._nemo.onnx import encoder_metadata, require_known_features, write_config, write_vocabulary
from eartune.families._nemo.tokenizer import SPACE
from eartune.families.canary.loss import canary_of
from eartune.families.canary.model import CanaryModel
from eartune.families.canary.onnx.agreement import measure_agreement
from eartune.families.canary.onnx.graphs import write_graphs
from eartune.families.canary.onnx.sherpa import write_sherpa_graphs
from eartune.model import SpeechModel


def write_onnx(model: SpeechModel, folder: Path, *, quantization: Quantization) -> float:
    """Write graphs, vocabulary and settings to an empty folder; return how far their outputs are from torch's, at most.

    Raises InputError where a package is missing or the programs cannot run the model, and EartuneError where float32
    graphs give other outputs than the model.
    """
    assert isinstance(model, CanaryModel)
    require_onnx()
    require_known_features(model, folder)
    # the embedding has rows beyond, up to a multiple of eight
    num_tokens = 1 + max(model.tokenizer.get_vocab().values())
    write_vocabulary(model, folder, num_tokens=num_tokens, blank=False)
    write_config(
        model,
        folder,
        model_type="nemo-conformer-aed",
        max_sequence_length=int(model.network.config.decoder_config.max_position_embeddings),
    )
    with evaluating(canary_of(model.network)) as network, torch.no_grad():
        write_graphs(model, network, folder, quantization, num_tokens)
        metadata = encoder_metadata(model, model_type="EncDecMultiTaskModel", vocab_size=num_tokens)
        write_sherpa_graphs(
            folder, network.config.decoder_config, metadata, first_token=model.tokenizer.convert_tokens_to_ids(SPACE)
        )
        difference = measure_agreement(model, network, folder, num_tokens)
    require_close(difference, folder, quantization=quantization)
    return difference
