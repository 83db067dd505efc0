"""A folder of Whisper in ONNX, laid out as Optimum's.

The folder: encoder_model.onnx, decoder_model_merged.onnx (the first step and those with a past, with one set of
weights), and the settings and tokenizer files that Optimum, transformers.js and onnx-asr look for.

modules     the network in the pieces that are traced
graphs      these as ONNX graphs with Optimum's names
merged      two decoders in one graph
agreement   the folder in onnxruntime compared with the network in torch
"""

from __future__ import annotations

from pathlib import Path

from eartune.export.onnx_files import Quantization, require_close, require_onnx
from eartune.families.whisper.legacy_tokenizer_files import complete_for_older_tools
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.onnx.agreement import measure_agreement
from eartune.families.whisper.onnx.graphs import write_decoder, write_encoder
from eartune.families.whisper.onnx.modules import traceable


def write_onnx(model: WhisperModel, folder: Path, *, quantization: Quantization) -> float:
    """Write `model`, its adapters merged, into an empty folder; return the largest difference of any logit to torch's.

    float16: weights and arithmetic, with inputs and outputs in float32. int8: the weights of matrix products and the
    embedding; convolutions, positions, biases, normalisations and the encoder's fc2 stay in float32.
    Raises InputError where a package is missing, and EartuneError where a logit of float32 differs by more than 1e-3
    or one of another quantisation is not a number.
    """
    require_onnx()
    network = traceable(model.network)
    write_encoder(network, folder, quantization)
    write_decoder(network, folder, quantization)
    model.network.config.save_pretrained(folder)
    model.save(folder, weights=False)
    complete_for_older_tools(model.tokenizer, folder)
    difference = measure_agreement(model, folder)
    require_close(difference, folder, quantization=quantization)
    return difference
