"""Parakeet as ONNX: one folder that onnx-asr and sherpa-onnx both read.

CTC: model.onnx. Transducers: encoder-model.onnx for both; decoder_joint-model.onnx, as NeMo writes it, for onnx-asr;
decoder.onnx and joiner.onnx for sherpa-onnx. Vocabulary and settings: _nemo/onnx.py.

modules    the network in the pieces that are traced
graphs     these traced and written
agreement  the graphs in onnxruntime beside the network in torch
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ParakeetForCTC, ParakeetForRNNT

from eartune.errors import InputError
from eartune.export.onnx_files import Quantization, evaluating, require_close, require_onnx
from eartune.families._nemo.onnx import require_known_features, write_vocabulary
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.network import parakeet_of
from eartune.families.parakeet.onnx.agreement import measure_agreement
from eartune.families.parakeet.onnx.graphs import write_ctc, write_transducer
from eartune.families.parakeet.streaming import lookaheads_of
from eartune.model import SpeechModel


def write_onnx(model: SpeechModel, folder: Path, *, quantization: Quantization) -> float:
    """Write graphs, vocabulary and settings to an empty folder; return how far their outputs are from torch's, at most.

    Raises InputError where a package is missing or the programs cannot run the model, and EartuneError where float32
    graphs give other outputs than the model.
    """
    assert isinstance(model, ParakeetModel)
    require_onnx()
    if lookaheads_of(parakeet_of(model.network)):
        raise InputError(
            f"{folder}: this model streams, and graphs that keep what was said between calls are not written here; "
            "export it with --to nemo or --to hf, and make them of the .nemo file with NeMo or sherpa-onnx"
        )
    require_known_features(model, folder)
    with evaluating(parakeet_of(model.network)) as network, torch.no_grad():
        num_tokens = _num_tokens(network, folder)
        write_vocabulary(model, folder, num_tokens=num_tokens, blank=True)
        if isinstance(network, ParakeetForCTC):
            write_ctc(model, network, folder, quantization=quantization, num_tokens=num_tokens)
        else:
            write_transducer(model, network, folder, quantization=quantization, num_tokens=num_tokens)
        difference = measure_agreement(model, network, folder)
    require_close(difference, folder, quantization=quantization)
    return difference


def _num_tokens(network: ParakeetForCTC | ParakeetForRNNT, folder: Path) -> int:
    """Return how many tokens stand before the blank."""
    config = network.config
    blank = config.pad_token_id if isinstance(network, ParakeetForCTC) else config.blank_token_id
    if blank != config.vocab_size - 1:
        raise InputError(
            f"{folder}: the blank is token {blank} of {config.vocab_size}, and onnx-asr and sherpa-onnx want the last"
            " one; export this model to .nemo, and run it in NeMo"
        )
    return int(blank)
