"""Whisper networks as OpenAI's .pt checkpoints: weights renamed, values unchanged; openai.py reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from eartune.errors import InputError
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai import RENAMES, transformers_name
from eartune.families.whisper.openai_compat import require_openai_layout
from eartune.files import new_file
from eartune.model import Network

# OpenAI calls the encoder's last norm ln_post and the decoder's ln; Hugging Face calls both layer_norm
_NAMES_BACK = {"encoder.layer_norm": "encoder.ln_post"} | {new: old for old, new in RENAMES.items()}
_DTYPES = {"float16": torch.float16, "float32": torch.float32}


def write_openai(
    model: WhisperModel, out: Path, *, dtype: Literal["float16", "float32"] = "float16", replace: bool = False
) -> None:
    """Write `model`, its adapters merged, to the file `out`, which ends in .pt.

    The format does not store alignment heads: whisper.load_model uses all heads of the upper half of the decoder,
    unless model.set_alignment_heads is called. Raises InputError where the network differs from OpenAI's, a weight is
    too large for float16, or `out` exists and `replace` is not set.
    """
    if out.suffix != ".pt":
        raise InputError(f"{out}: does not end in .pt, as OpenAI's checkpoints do; name a file such as model.pt")
    if out.exists() and not replace:
        raise InputError(f"{out}: is there already; name another file, or delete it")
    require_openai_layout(model.network, model.tokenizer)
    checkpoint = {
        "dims": openai_dims(model.network),
        "model_state_dict": openai_weights(model.network, _DTYPES[dtype]),
    }
    # by handle: torch.save would store the name of a path in the file
    with new_file(out) as aside, aside.open("wb") as file:
        torch.save(checkpoint, file)


def openai_dims(network: Network) -> dict[str, int]:
    """Return the sizes in OpenAI's names and order (openai/whisper model.py, ModelDimensions)."""
    config = network.config
    return {
        "n_mels": config.num_mel_bins,
        "n_audio_ctx": config.max_source_positions,
        "n_audio_state": config.d_model,
        "n_audio_head": config.encoder_attention_heads,
        "n_audio_layer": config.encoder_layers,
        "n_vocab": config.vocab_size,
        "n_text_ctx": config.max_target_positions,
        "n_text_state": config.d_model,
        "n_text_head": config.decoder_attention_heads,
        "n_text_layer": config.decoder_layers,
    }


def openai_weights(network: Network, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the weights in OpenAI's names, on the CPU. Raises InputError for one that does not fit into `dtype`."""
    weights = {}
    for name, value in network.state_dict().items():
        if name == "proj_out.weight":
            continue
        inner = name.removeprefix("model.")
        openai_name = _rename_back(inner)
        assert transformers_name(openai_name) == inner, f"{name} has no counterpart in OpenAI's names"
        # a copy: saving a view would save all the memory that it shares
        weights[openai_name] = value.detach().to("cpu", dtype, copy=True).contiguous()
        if not torch.isfinite(weights[openai_name]).all():
            raise InputError(f"weight {name} has values that {dtype} cannot hold; write it as float32")
    return weights


def _rename_back(name: str) -> str:
    dotted = f".{name}."
    for new, old in _NAMES_BACK.items():
        dotted = dotted.replace(f".{new}.", f".{old}.")
    return dotted.strip(".")
