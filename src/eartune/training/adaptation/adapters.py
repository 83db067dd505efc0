"""LoRA and its variants: built from the configuration, attached to a network, initialised from data if configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import torch
from peft import LoraConfig, PeftModel, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora.config import (
    ArrowConfig,
    BdLoraConfig,
    CordaConfig,
    EvaConfig,
    KasaConfig,
    LoraGAConfig,
    LoraRuntimeConfig,
    MontecloraConfig,
    VeloraConfig,
)
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga
from torch import nn

from eartune.config.adapter import AdapterSection
from eartune.errors import InputError
from eartune.model import Blocks, block_of
from eartune.training.adaptation.fast_lora import speed_up
from eartune.training.adaptation.targets import Targets

# a batch as SpeechModel.summed_loss takes it
Batch = Mapping[str, torch.Tensor]


class SampleBatches(Protocol):
    """Returns training batches, from the beginning at each call."""

    def __call__(self, *, batch_size: int = ...) -> Iterable[Batch]: ...


_SUBCONFIGS = {
    "runtime_config": LoraRuntimeConfig,
    "eva_config": EvaConfig,
    "corda_config": CordaConfig,
    "lora_ga_config": LoraGAConfig,
    "velora_config": VeloraConfig,
    "kasa_config": KasaConfig,
    "monteclora_config": MontecloraConfig,
    "use_bdlora": BdLoraConfig,
    "arrow_config": ArrowConfig,
}
# initialisations that need data, and the sub-configuration that PEFT requires for them
_FROM_DATA = {"eva": "eva_config", "corda": "corda_config", "lora_ga": "lora_ga_config"}
# initialisations that subtract the adapter's initial value from the base weights
_MUTATE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def lora_config(adapter: AdapterSection, targets: Targets) -> LoraConfig:
    """Build PEFT's LoraConfig. Raises InputError with PEFT's message for options that PEFT refuses."""
    values: dict[str, Any] = {
        name: getattr(adapter, name)
        for name in LoraConfig.__dataclass_fields__
        if name in type(adapter).model_fields and getattr(adapter, name) is not None
    }
    values |= {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
    values |= {"target_modules": targets.target_modules, "exclude_modules": targets.exclude_modules}
    initialisation = values["init_lora_weights"]
    if initialisation in _FROM_DATA:
        values.setdefault(_FROM_DATA[initialisation], {})
    try:
        for name, kind in _SUBCONFIGS.items():
            if name in values:
                values[name] = kind(**values[name])
        return LoraConfig(**values)
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(f"adapter: PEFT refuses these options: {error}") from None


def changes_base(config: LoraConfig) -> bool:
    """Return whether the initialisation changes the base weights, so that a saved adapter needs conversion."""
    initialisation = config.init_lora_weights
    return isinstance(initialisation, str) and initialisation.startswith(_MUTATE_BASE)


def attach(
    network: nn.Module,
    config: LoraConfig,
    *,
    sample_batches: SampleBatches,
    loss: Callable[[Batch], torch.Tensor],
) -> PeftModel:
    """Attach the adapter to the network and initialise it.

    `sample_batches` returns training batches for initialisations that need data (eva, corda, lora_ga), and `loss` runs
    the network on one.
    Raises InputError with PEFT's message if the options do not fit the network.
    """
    try:
        _prepare_from_data(network, config, sample_batches, loss)
        adapted = get_peft_model(network, config)
        if config.init_lora_weights == "eva":
            initialize_lora_eva_weights(
                adapted,
                list(sample_batches()),
                # adapters are inside the network's own modules, so its loss runs through them
                forward_fn=lambda _model, batch: loss(batch),
                prepare_model_inputs_fn=None,
                prepare_layer_inputs_fn=_rows_of,
                show_progress_bar=False,
            )
    except (ValueError, TypeError, AttributeError, NotImplementedError, RuntimeError, ImportError) as error:
        raise InputError(f"adapter: PEFT cannot apply these options to this model: {str(error)[:300]}") from None
    speed_up(adapted)
    return adapted


def _rows_of(layer_input: Any, _batch: Any, _layer_name: str) -> torch.Tensor:
    inputs = layer_input if isinstance(layer_input, torch.Tensor) else layer_input[0]
    return inputs.reshape(-1, inputs.shape[-1])


def _prepare_from_data(
    network: nn.Module,
    config: LoraConfig,
    sample_batches: SampleBatches,
    loss: Callable[[Batch], torch.Tensor],
) -> None:
    if config.init_lora_weights == "corda":

        def forward_only() -> None:
            with torch.no_grad():
                # CorDA's hooks take one example at a time
                for batch in sample_batches(batch_size=1):
                    loss(batch)

        preprocess_corda(network, config, run_model=forward_only)
    elif config.init_lora_weights == "lora_ga":

        def forward_and_backward() -> None:
            for batch in sample_batches():
                torch.autograd.backward(loss(batch))

        preprocess_loraga(network, config, forward_and_backward)
        network.zero_grad()


def freeze_encoder(network: nn.Module, blocks: Blocks) -> None:
    """Freeze the whole encoder; without trained weights autograd records no graph of it either."""
    block_of(network, blocks.encoder).requires_grad_(False)
