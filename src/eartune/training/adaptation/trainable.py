"""Selection of the trained parameters: adapters, parts of the network, both, or all, with or without the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from eartune.config import TrainConfig
from eartune.manifest import Utterance
from eartune.model import SpeechModel, block_of
from eartune.reporting import Reporter
from eartune.training.adaptation.adapter_files import NOTHING_UNFROZEN, Weights, adapter_weights
from eartune.training.adaptation.adapters import attach, changes_base, freeze_encoder, lora_config
from eartune.training.adaptation.fast_lora import keep_frozen_weights
from eartune.training.adaptation.listing import count_norms, count_parameters, list_trained
from eartune.training.adaptation.targets import resolve_targets
from eartune.training.adaptation.unfreezing import Unfrozen, select_unfrozen, with_modules
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.plan import in_order
from eartune.training.device import Precision, compute_dtype
from eartune.training.loss import encoder_inputs, target_inputs

# number and size of the batches for initialisations that need data
NUM_SAMPLE_BATCHES = 8
SAMPLE_BATCH_SIZE = 8


@dataclass(frozen=True)
class Adaptation:
    """The trained parts of a network, for training steps and saved files.

    `initial` is the adapter's initial value if its initialisation changed the base weights; `unfrozen` holds the
    weights trained in full, with or without an adapter; `fixed_norms` are BatchNorms whose statistics must not change.
    """

    initial: Weights | None
    unfrozen: Unfrozen
    fixed_norms: tuple[nn.Module, ...]


def make_trainable(
    model: SpeechModel,
    config: TrainConfig,
    utterances: Sequence[Utterance],
    *,
    base_spec: str,
    precision: Precision,
    report: Reporter,
) -> Adaptation:
    """Attach adapters, unfreeze weights trained in full, freeze all others, and report the counts.

    Raises InputError if names or options do not fit the network.
    """
    section, initial, unfrozen = config.model, None, NOTHING_UNFROZEN
    if section.freeze_feature_encoder and model.blocks.feature_encoder:
        block_of(model.network, model.blocks.feature_encoder).requires_grad_(False)
    if section.method == "partial":
        unfrozen = select_unfrozen(model.network, config.partial, model.blocks, freeze_encoder=section.freeze_encoder)
        for note in unfrozen.notes:
            report.line(note)
    extended = model.blocks.extended if section.method != "full" else ()
    if extended:
        unfrozen = with_modules(unfrozen, model.network, extended)
        report.line(f"trained in full, as tokens were added: {', '.join(extended)}")
    if section.method == "partial":
        model.network.requires_grad_(False)
    if config.has_adapter():
        initial = _adapt(model, config, utterances, unfrozen, base_spec, report)
    if section.freeze_encoder:
        freeze_encoder(model.network, model.blocks)
    for parameter in unfrozen.parameters:
        parameter.requires_grad_(True)
    if config.has_adapter() and section.base_weights == "auto" and precision != "fp32":
        keep_frozen_weights(model.network, compute_dtype(precision))
    _report_trained(model, config, report)
    fixed_norms = fixed_batch_norms(model.network, all_weights_trained=section.method == "full")
    return Adaptation(initial, unfrozen, fixed_norms)


def _adapt(
    model: SpeechModel,
    config: TrainConfig,
    utterances: Sequence[Utterance],
    unfrozen: Unfrozen,
    base_spec: str,
    report: Reporter,
) -> Weights | None:
    """Attach adapters to the network; return their initial value if it was subtracted from the base weights."""
    adapter = config.adapter.model_copy(update={"bias": "all"}) if config.partial.train_bias else config.adapter
    targets = resolve_targets(
        model.network,
        adapter,
        model.blocks,
        freeze_encoder=config.model.freeze_encoder,
        in_full=unfrozen.modules,
    )
    for note in targets.notes:
        report.line(note)
    peft_config = lora_config(adapter, targets)
    peft_config.base_model_name_or_path = base_spec
    model.network = attach(
        model.network,
        peft_config,
        sample_batches=partial(_sample_batches, model, utterances),
        loss=partial(_loss, model),
    )
    return adapter_weights(model.network) if changes_base(peft_config) else None


def _report_trained(model: SpeechModel, config: TrainConfig, report: Reporter) -> None:
    counts = count_parameters(model.network, model.blocks)
    if config.partial.train_norms:
        counts.append(count_norms(model.network))
    for count in counts:
        report.line(f"{count.block}: {count.trained:,} of {count.total:,} parameters trained")
    for line in list_trained(model.network, config.model.debug_linear):
        report.line(line)


def _sample_batches(
    model: SpeechModel, utterances: Sequence[Utterance], batch_size: int = SAMPLE_BATCH_SIZE
) -> Iterable[Mapping[str, torch.Tensor]]:
    """Yield the first utterances in batches, as SpeechModel.summed_loss takes them."""
    chosen = utterances[: NUM_SAMPLE_BATCHES * SAMPLE_BATCH_SIZE]
    dataset = SpeechDataset(chosen, model)
    device = next(model.network.parameters()).device
    for rows in in_order(chosen, batch_size=batch_size, width_s=model.window.width_s):
        batch = dataset[rows]
        yield encoder_inputs(batch, model, device) | target_inputs(batch, device)


def _loss(model: SpeechModel, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Average the loss over the targets of a batch."""
    return model.summed_loss([batch]) / len(batch["targets"])


def fixed_batch_norms(network: nn.Module, *, all_weights_trained: bool) -> tuple[nn.Module, ...]:
    """Return the BatchNorms that stay in evaluation mode during training.

    Running statistics change only in full fine-tuning, and there not in frozen parts. With adapters and in partial
    training they stay fixed even if the weights and biases of the norms are trained: batches of few utterances estimate
    them worse than the base model's corpus did.
    """
    return tuple(
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and not (all_weights_trained and any(parameter.requires_grad for parameter in module.parameters()))
    )
