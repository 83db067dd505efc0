"""A Hugging Face folder of one of NeMo's models: network, tokenizer and features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from eartune.declared_weights import require_declared
from eartune.errors import InputError, explained
from eartune.families._nemo.features import LogMel
from eartune.families._nemo.folder_settings import COPY, NetworkSettings, read_feature_settings, require_known_tokens
from eartune.families._nemo.tokenizer import folder_tokenizer
from eartune.model import Network
from eartune.model_folder import CONFIG, read_generation_config, read_network_config
from eartune.parsing import JsonObject, read_json
from eartune.weights import RELOAD_ADVICE, network_weights, require_finite


def load_folder(
    folder: Path, network_class: Callable[[Mapping[str, Any]], Any], prepare: Callable[[Network], None]
) -> tuple[Network, PreTrainedTokenizerBase, LogMel]:
    """Load a folder in float32 on the CPU. Raises InputError for what is damaged or incomplete.

    `network_class` tells the class by config.json, and `prepare` is given the network.
    """
    path = folder / CONFIG
    class_here = network_class(read_json(path, JsonObject, advice=COPY))
    config = read_network_config(folder, class_here.config_class, NetworkSettings)
    require_known_tokens(config, path)
    read_generation_config(folder, JsonObject)
    features = read_feature_settings(folder, num_mel_bins=config.encoder_config.num_mel_bins)
    with explained(path, "is of a network that cannot be built", advice=RELOAD_ADVICE):
        require_declared(folder, class_here, config)
    tokenizer = folder_tokenizer(folder)
    with explained(folder, "cannot be loaded", advice=RELOAD_ADVICE):
        network, report = class_here.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise InputError(f"{folder}: its weights are incomplete: {missing[0]} and {len(missing)} in all missing")
    require_finite(network_weights(network), where=str(folder))
    # the hub's copies skip layers at random in training, which ruins a fine-tuning
    network.config.encoder_config.layerdrop = 0.0
    for module in network.modules():
        if hasattr(module, "layerdrop"):
            module.layerdrop = 0.0
    with explained(path, "cannot be used", advice=RELOAD_ADVICE):
        prepare(network)
    return network.eval(), tokenizer, LogMel(features)
