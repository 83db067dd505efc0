"""Adapters on disk: saved so that they fit the published base model, loaded, and merged."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import peft
import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, LoraConfig, PeftConfig, PeftModel, PeftType
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn
from typing_extensions import TypedDict

from eartune.declared_weights import require_weight_file
from eartune.errors import InputError, explained, first_line
from eartune.parsing import read_json
from eartune.training.adaptation.adapters import changes_base
from eartune.training.adaptation.unfreezing import Unfrozen

ADAPTER_WEIGHTS = "adapter_model.safetensors"
PICKLED_ADAPTER_WEIGHTS = "adapter_model.bin"
ADAPTER_CONFIG = "adapter_config.json"
# largest difference allowed between any logit of a merged model and the adapted one
MERGE_TOLERANCE = 1e-4
COPY = "copy the whole folder of the adapter"
Weights = Mapping[str, torch.Tensor]
# weights shared between layers are saved once, so PEFT reports them as missing in each layer
_SHARED = ("vblora_vector_bank", ".tinylora_v.", ".unilora_theta_d.")
_WITHOUT_MERGE = (PeftType.ADAPTION_PROMPT, PeftType.XLORA, PeftType.POLY)
NOTHING_UNFROZEN = Unfrozen()


class AdapterConfig(TypedDict, total=False):
    """adapter_config.json, as far as it is read before PEFT reads it."""

    peft_type: str | None
    base_model_name_or_path: str | None


def adapter_weights(adapted: PeftModel) -> dict[str, torch.Tensor]:
    """Return the adapter's weights as they are now, on the CPU."""
    state = get_peft_model_state_dict(adapted, save_embedding_layers=_keeps_embeddings(adapted))
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _keeps_embeddings(adapted: PeftModel) -> Literal["auto", False]:
    """Return what PEFT is told of embeddings: to save those with an adapter, and to look for no others.

    It would look for resized ones, on the hub too, which are among the weights trained in full; encoders have none.
    """
    adapts = any(isinstance(getattr(module, "base_layer", None), nn.Embedding) for module in adapted.modules())
    return "auto" if adapts else False


def save_adapter(
    adapted: PeftModel, folder: Path, *, initial: Weights | None, unfrozen: Unfrozen = NOTHING_UNFROZEN
) -> None:
    """Write the adapter, and the weights trained in full beside it, so that both apply to the published base model.

    Weights trained in full go into the same file, under the names PEFT gives its `modules_to_save`, and the modules are
    listed in the adapter's configuration: PEFT's own `PeftModel.from_pretrained` reads both, and refuses a file that
    lacks a weight of these modules. In training they are the network's own modules, where PEFT would train a copy
    beside each original. Single biases have their own names, as PEFT writes those of `bias: all`.

    PiSSA, OLoRA and CorDA subtract the adapter's initial value B0 A0 from the base weights. `initial` is that value;
    the adapter is then written as the plain LoRA [B, -B0] [A; A0] of twice the rank. This is PEFT's own conversion,
    but PEFT drops everything except A and B: magnitudes, biases and saved modules are kept here.
    """
    config = adapted.peft_config["default"]
    if not changes_base(config):
        save_as_trained(adapted, folder, unfrozen=unfrozen)
        return
    assert initial is not None, f"{config.init_lora_weights} needs the adapter's initial value"
    plain = _saved_config(config, unfrozen)
    plain.init_lora_weights = True
    # alpha / r and alpha / sqrt(r) stay unchanged
    growth = 2**0.5 if plain.use_rslora else 2
    plain.r *= 2
    plain.lora_alpha *= growth
    plain.rank_pattern = {name: 2 * rank for name, rank in plain.rank_pattern.items()}
    plain.alpha_pattern = {name: growth * alpha for name, alpha in plain.alpha_pattern.items()}
    _write(folder, plain, _doubled(adapter_weights(adapted), initial) | _weights_in_full(adapted, unfrozen))


def save_as_trained(adapted: PeftModel, folder: Path, *, unfrozen: Unfrozen) -> None:
    """Write the same without conversion, for resuming an interrupted run."""
    if not unfrozen.parameters:
        adapted.save_pretrained(folder, save_embedding_layers=_keeps_embeddings(adapted))
        return
    config = _saved_config(adapted.peft_config["default"], unfrozen)
    _write(folder, config, adapter_weights(adapted) | _weights_in_full(adapted, unfrozen))


def _saved_config(config: LoraConfig, unfrozen: Unfrozen) -> LoraConfig:
    saved = copy.deepcopy(config)
    saved.inference_mode = True
    saved.modules_to_save = [*(saved.modules_to_save or ()), *unfrozen.modules] or None
    return saved


def _weights_in_full(adapted: PeftModel, unfrozen: Unfrozen) -> dict[str, torch.Tensor]:
    """Return the weights trained in full. A weight shared by two modules is copied under both names."""
    state = {
        f"base_model.model.{name}.{key}": value
        for name in unfrozen.modules
        for key, value in adapted.get_base_model().get_submodule(name).state_dict().items()
    }
    ids = {id(parameter) for parameter in unfrozen.parameters}
    state |= {name: parameter for name, parameter in adapted.named_parameters() if id(parameter) in ids}
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def _write(folder: Path, config: LoraConfig, weights: Weights) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(weights, folder / ADAPTER_WEIGHTS)
    config.save_pretrained(folder)


def _doubled(weights: Weights, initial: Weights) -> dict[str, torch.Tensor]:
    doubled = dict(weights)
    for name, value in weights.items():
        if ".lora_A." in name:
            doubled[name] = torch.cat([value, initial[name]], dim=0)
        elif ".lora_B." in name and name.endswith("weight"):
            doubled[name] = torch.cat([value, -initial[name]], dim=1)
    return {name: value.contiguous() for name, value in doubled.items()}


def save_weights(weights: Weights, path: Path) -> None:
    save_file(dict(weights), path, metadata={"format": "pt"})


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    require_weight_file(path)
    loaded: dict[str, torch.Tensor] = load_file(path)
    return loaded


def load_adapter(network: nn.Module, folder: Path) -> PeftModel:
    """Attach a saved adapter to its base model. Raises InputError if they do not match.

    The network keeps its forward arguments: PEFT's wrappers for tasks (`task_type`) take `input_ids`, which no speech
    model does.
    """
    config = read_adapter_config(folder)
    files = [path for name in (ADAPTER_WEIGHTS, PICKLED_ADAPTER_WEIGHTS) if (path := folder / name).is_file()]
    # PEFT looks on the hub for weights that a folder lacks
    if not files:
        raise InputError(f"{folder}: has no {ADAPTER_WEIGHTS}; {COPY}")
    for path in files:
        require_weight_file(path)
    try:
        adapted = PeftModel(network, config)
        found = adapted.load_adapter(str(folder), "default", is_trainable=False)
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: the adapter does not fit its base model: {_cause(error)}") from None
    except Exception as error:  # libraries raise any type for a damaged file or configuration
        raise InputError(f"{folder}: the adapter cannot be read: {type(error).__name__}: {_cause(error)}") from None
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(config.peft_type, "")
    missing = [name for name in found.missing_keys if not any(part in name for part in _SHARED)]
    # keys without the prefix are second copies of some modules, which PEFT writes under other names
    unexpected = [name for name in found.unexpected_keys if prefix and prefix in name]
    for names, what in ((missing, "lacks"), (unexpected, "does not fit its base model, which lacks")):
        if names:
            raise InputError(
                f"{folder}: the adapter {what} {sorted(names)[0]} ({len(names)} in all): it was made for another "
                "base model, or its file is incomplete"
            )
    return adapted


def read_adapter_config(folder: Path) -> PeftConfig:
    """Read an adapter's configuration, for a network without PEFT's task wrapper.

    Raises InputError for one that is damaged, from a newer PEFT, or of a type that cannot be merged into the weights.
    """
    path = folder / ADAPTER_CONFIG
    kind = read_json(path, AdapterConfig, advice=COPY).get("peft_type")
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        raise InputError(f"{path}: peft_type is {kind!r}, which PEFT {peft.__version__} does not know; update peft")
    with explained(path, "PEFT cannot read it", advice=COPY):
        config: PeftConfig = PeftConfig.from_pretrained(folder)
    if config.is_prompt_learning or config.peft_type in _WITHOUT_MERGE:
        raise InputError(
            f"{path}: peft_type {kind} adds inputs or networks, not weights that can be merged; "
            "use an adapter that can be merged (LORA, ADALORA, IA3, LOHA, LOKR, OFT, ...)"
        )
    config.task_type = None
    config.inference_mode = True
    return config


def _cause(error: BaseException) -> str:
    """Return the most informative line: the first size mismatch, else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
    return (lines[0] if lines else first_line(error))[:200]


def merge(adapted: PeftModel) -> nn.Module:
    """Merge the adapter into its base model, in float32, and return the plain network. `adapted` is consumed.

    Weights tied in the base model, which the adapter's file holds for both modules, are tied again.
    Raises InputError for an adapter type that PEFT cannot merge, and for weights that are not finite.
    """
    shares = getattr(adapted.config, "tie_word_embeddings", False)
    kind = adapted.peft_config["default"].peft_type.value
    try:
        plain: Any = adapted.float().merge_and_unload(safe_merge=True)
    except (NotImplementedError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"an adapter of type {kind} cannot be merged: {_cause(error)}") from None
    pairs = plain.all_tied_weights_keys.items() if shares else ()
    if pairs and all(torch.equal(plain.get_parameter(one), plain.get_parameter(other)) for one, other in pairs):
        plain.config.tie_word_embeddings = True
        plain.tie_weights()
    merged: nn.Module = plain
    return merged


@torch.no_grad()
def logits(network: nn.Module, probe: Mapping[str, torch.Tensor], *, dtype: torch.dtype) -> torch.Tensor:
    """Return the network's logits for `probe` (keyword arguments of its forward), computed in `dtype`."""
    inputs = {name: value.to(dtype) if value.is_floating_point() else value for name, value in probe.items()}
    found: torch.Tensor = network.to(dtype).eval()(**inputs).logits
    return found
