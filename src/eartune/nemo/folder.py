"""A Hugging Face folder of one of NeMo's models: network, tokenizer and features."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import NemotronAsrStreamingFeatureExtractor, PreTrainedTokenizerBase

from eartune.declared_weights import require_declared
from eartune.errors import InputError, first_line
from eartune.model import Network
from eartune.nemo.features import FeatureSettings, LogMel
from eartune.nemo.tokenizer import folder_tokenizer
from eartune.weights import network_weights, require_finite


def load_folder(
    folder: Path, network_class: Callable[[Mapping[str, Any]], Any], prepare: Callable[[Network], None]
) -> tuple[Network, PreTrainedTokenizerBase, LogMel]:
    """Load a folder in float32 on the CPU. Raises InputError for what is damaged or incomplete.

    `network_class` tells the class by config.json, and `prepare` is given the network.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        class_here = network_class(config)
        require_declared(folder, class_here, class_here.config_class.from_pretrained(folder))
        tokenizer = folder_tokenizer(folder)
        network, report = class_here.from_pretrained(
            folder,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, StrictDataclassError) as error:
        reason = first_line(error)
        raise InputError(f"{folder}: cannot be loaded: {reason[:200]}") from None
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise InputError(f"{folder}: its weights are incomplete: {missing[0]} and {len(missing)} in all missing")
    require_finite(network_weights(network), where=str(folder))
    # the hub's copies skip layers at random in training, which ruins a fine-tuning
    network.config.encoder_config.layerdrop = 0.0
    for module in network.modules():
        if hasattr(module, "layerdrop"):
            module.layerdrop = 0.0
    prepare(network)
    return network.eval(), tokenizer, LogMel(_feature_settings(folder))


def _feature_settings(folder: Path) -> FeatureSettings:
    """Read the feature extractor's settings, wherever the version that wrote the folder has put them."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if path.is_file():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                found = found.get("feature_extractor", found)
                wanted = {field.name for field in fields(FeatureSettings)}
                if found.get("mel_filters_dtype", "float32") != "float32":
                    raise InputError(f"{path}: mel_filters_dtype is {found['mel_filters_dtype']}, expected float32")
                plain = found.get("feature_extractor_type") == NemotronAsrStreamingFeatureExtractor.__name__
                named = {key: value for key, value in found.items() if key in wanted}
                return FeatureSettings(**named | {"normalize": not plain})
            except (ValueError, TypeError, AttributeError):
                raise InputError(f"{path}: is not a feature extractor's JSON configuration") from None
    raise InputError(f"{folder}: has no preprocessor_config.json; copy the whole model folder")
