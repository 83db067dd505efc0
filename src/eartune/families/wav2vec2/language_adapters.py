"""The language adapters of MMS: for each language, small layers in the encoder, a vocabulary and an output head.

A folder has one file for each language, adapter.LANG.safetensors, and vocab.json has the vocabularies by LANG, a code
of three letters that a script may follow (uig-script_arabic).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file, save_file
from torch import nn

from eartune.base_model import BaseModel
from eartune.declared_weights import read_safetensors_header, require_weight_file
from eartune.errors import EartuneError, InputError, first_line
from eartune.families.wav2vec2.network import ctc_of
from eartune.languages import language_code
from eartune.model import Network

FILE = "adapter.{}.safetensors"


def has_adapters(config: Any) -> bool:
    """Return whether a network has layers for one language: other classes have the setting, and no such layers."""
    return config.model_type == "wav2vec2" and config.adapter_attn_dim is not None


def adapter_weights(network: Network) -> dict[str, nn.Parameter]:
    """Return the parameters of the adapters and of the output head, with the names that their files have."""
    found: dict[str, nn.Parameter] = ctc_of(network)._get_adapters()
    return found


def choose_name(language: str | None, known: Sequence[str], default: str | None, *, where: str) -> str:
    """Return the name of a language's adapter; `default` is preferred among several of the same language.

    Raises InputError without a language, where there are several, and for a language that has none.
    """
    if language is None:
        if len(known) == 1:
            return known[0]
        raise InputError(f"{where}: has {len(known)} languages: choose one with --language")
    matching = [name for name in known if is_for(name, language)]
    if default in matching:
        return str(default)
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise InputError(
            f"{where}: has several adapters for {language!r}: {', '.join(matching)}; set target_lang in its "
            "tokenizer_config.json to one of them"
        )
    shown = ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
    raise InputError(
        f"{where}: has no adapter for language {language!r}; it has {shown}. --new-vocabulary trains a new one"
    )


def is_for(name: str, language: str) -> bool:
    """Return whether an adapter is that of a language."""
    return language_code(name.partition("-")[0]) == language_code(language)


def find_adapter(base: BaseModel, name: str, *, own: str | None) -> Path | None:
    """Return the file of a language's adapter, fetched if the model is from the hub.

    None without one for the `own` language of the model's weights. Raises InputError for others.
    """
    path = base.path / FILE.format(name)
    if path.is_file():
        return path
    if base.kind != "hub":
        if name != own:
            raise InputError(f"{base.spec}: has a vocabulary for {name}, and no {path.name}; copy it too")
        return None
    try:
        # the folder is CACHE/models--OWNER--NAME/snapshots/COMMIT
        fetched = hf_hub_download(base.spec, path.name, revision=base.revision, cache_dir=base.path.parents[2])
    except Exception as error:  # the hub library raises many types, and none is for users
        raise EartuneError(f"{base.spec} (hub): {path.name} cannot be fetched: {first_line(error)[:200]}") from None
    return Path(fetched)


def load_adapter(network: Network, path: Path) -> None:
    """Replace the adapters and the output head of a network. Raises InputError for a file that does not fit."""
    declared, own = read_safetensors_header(path), adapter_weights(network)
    missing, extra = sorted(own.keys() - declared.keys()), sorted(declared.keys() - own.keys())
    for what, names in {"lacks": missing, "has more than the adapters:": extra}.items():
        if names:
            raise InputError(f"{path}: {what} {names[0]} ({len(names)} in all); copy the model's own file")
    for name, parameter in own.items():
        if declared[name].shape != tuple(parameter.shape):
            raise InputError(
                f"{path}: {name} is {list(declared[name].shape)}, and {list(parameter.shape)} in the model; "
                "copy the model's own file and vocab.json"
            )
    require_weight_file(path)
    values = load_file(path)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(values[name])


def renew_adapters(network: Network) -> None:
    """Initialise the adapters for a new language, always with the same values.

    As transformers means to do it: its `init_adapter_layers` leaves the layers of the other language as they are.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapter_weights(network).items():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            elif parameter.ndim > 1:
                parameter.normal_(0.0, ctc_of(network).config.initializer_range, generator=generator)
            else:
                parameter.zero_()


def save_adapter(network: Network, folder: Path, name: str) -> None:
    """Write the adapters and the output head as a file for one language."""
    weights: Mapping[str, torch.Tensor] = adapter_weights(network)
    contiguous = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    save_file(contiguous, folder / FILE.format(name), metadata={"format": "pt"})
