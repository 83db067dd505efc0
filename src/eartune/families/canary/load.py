"""Load a Canary base model from where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CanaryForConditionalGeneration

from eartune.base_model import BaseModel
from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.base import parts_of
from eartune.families._nemo.folder import load_folder
from eartune.families._nemo.slots import listed, read_language
from eartune.families._nemo.write_archive import write_archive
from eartune.families.canary.configuration import read_spec
from eartune.families.canary.model import CanaryModel
from eartune.families.canary.network import prepare_network
from eartune.families.canary.weights import from_nemo, to_nemo
from eartune.model import SpeechModel


def load(base: BaseModel, *, task: str = "transcribe", language: str | None = None) -> CanaryModel:
    """Load a base model in float32 on the CPU. Raises InputError for files that are damaged or cannot be mapped."""
    if base.kind == "nemo":
        spec = read_spec(read_archive(base.path))
        network, (tokenizer, log_mel) = from_nemo(spec), parts_of(spec)
    else:
        network, tokenizer, log_mel = load_folder(base.path, _network_class, prepare_network)
    model = CanaryModel(network, tokenizer, log_mel, task=task, language=language)
    if language is not None and read_language(language, model.labeler.languages) not in model.labeler.languages:
        raise InputError(
            f"{base.spec}: has no token for language {language!r}; it has {listed(sorted(model.labeler.languages))}"
        )
    return model


def _network_class(_config: Mapping[str, Any]) -> Any:
    return CanaryForConditionalGeneration


def write_nemo(model: SpeechModel, original: Path, out: Path) -> None:
    """Write a copy of the archive `original` with the model's weights. Raises InputError where they do not fit."""
    spec = read_spec(read_archive(original))
    write_archive(spec.archive, out, to_nemo(model.network.state_dict(), spec))
