"""Selection of the trained parameters: adapters, parts of the network, both, or all, with or without the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from eartune.config import TrainConfig
from eartune.manifest import Utterance
from eartune.reporting import Reporter
from eartune.speech_model import SpeechModel
from eartune.training.adaptation.adapter_files import NOTHING_UNFROZEN, Weights, adapter_weights
from eartune.training.adaptation.adapters import attach, changes_base, freeze_encoder, lora_config
from eartune.training.adaptation.batch_norm import fixed_batch_norms
from eartune.training.adaptation.fast_lora import keep_frozen_weights
from eartune.training.adaptation.listing import count_norms, count_parameters, list_trained
from eartune.training.adaptation.targets import resolve_targets
from eartune.training.adaptation.unfreezing import Unfrozen, select_unfrozen, with_modules
from eartune.training.batching.batches import SpeechDataset, encoder_inputs, in_order, target_inputs
from eartune.training.device import Precision, compute_dtype

# how many batches an initialisation that looks at data gets to see
NUM_SAMPLE_BATCHES = 8
SAMPLE_BATCH_SIZE = 8


@dataclass(frozen=True)
class Adaptation:
    """How a network is trained, as each step and each saved file need to know it.

    `initial` is the adapter's first value where its initialisation changed the base weights; `unfrozen` is what is
    trained in full beside an adapter or without one; `fixed_norms` are BatchNorms whose statistics must not move.
    """

    initial: Weights | None
    unfrozen: Unfrozen
    fixed_norms: tuple[nn.Module, ...]


def make_trainable(
    speech: SpeechModel,
    config: TrainConfig,
    utterances: Sequence[Utterance],
    *,
    base_spec: str,
    precision: Precision,
    report: Reporter,
) -> Adaptation:
    """Attach adapters, open what is trained in full, freeze what is not trained, and tell the counts.

    Raises InputError where names or options do not fit the network.
    """
    model, initial, unfrozen = config.model, None, NOTHING_UNFROZEN
    if model.method == "partial":
        unfrozen = select_unfrozen(speech.network, config.partial, speech.blocks, freeze_encoder=model.freeze_encoder)
        for note in unfrozen.notes:
            report.line(note)
    extended = speech.blocks.extended if model.method != "full" else ()
    if extended:
        unfrozen = with_modules(unfrozen, speech.network, extended)
        report.line(f"trained in full, as tokens were added: {', '.join(extended)}")
    if model.method == "partial":
        speech.network.requires_grad_(False)
    if config.has_adapter():
        initial = _adapt(speech, config, utterances, unfrozen, base_spec, report)
    if model.freeze_encoder:
        freeze_encoder(speech.network, speech.blocks)
    for parameter in unfrozen.parameters:
        parameter.requires_grad_(True)
    if config.has_adapter() and model.base_weights == "auto" and precision != "fp32":
        keep_frozen_weights(speech.network, compute_dtype(precision))
    _report_trained(speech, config, report)
    fixed_norms = fixed_batch_norms(speech.network, all_weights_trained=model.method == "full")
    return Adaptation(initial, unfrozen, fixed_norms)


def _adapt(
    speech: SpeechModel,
    config: TrainConfig,
    utterances: Sequence[Utterance],
    unfrozen: Unfrozen,
    base_spec: str,
    report: Reporter,
) -> Weights | None:
    """Put adapters into the network; return their first value where it was taken out of the base weights."""
    adapter = config.adapter.model_copy(update={"bias": "all"}) if config.partial.train_bias else config.adapter
    targets = resolve_targets(
        speech.network,
        adapter,
        speech.blocks,
        freeze_encoder=config.model.freeze_encoder,
        in_full=unfrozen.modules,
    )
    for note in targets.notes:
        report.line(note)
    peft_config = lora_config(adapter, targets)
    peft_config.base_model_name_or_path = base_spec
    speech.network = attach(
        speech.network,
        peft_config,
        sample_batches=partial(_sample_batches, speech, utterances),
        loss=partial(_loss, speech),
    )
    return adapter_weights(speech.network) if changes_base(peft_config) else None


def _report_trained(speech: SpeechModel, config: TrainConfig, report: Reporter) -> None:
    counts = count_parameters(speech.network, speech.blocks)
    if config.partial.train_norms:
        counts.append(count_norms(speech.network))
    for count in counts:
        report.line(f"{count.block}: {count.trained:,} of {count.total:,} parameters trained")
    for line in list_trained(speech.network, config.model.debug_linear):
        report.line(line)


def _sample_batches(
    speech: SpeechModel, utterances: Sequence[Utterance], batch_size: int = SAMPLE_BATCH_SIZE
) -> Iterable[Mapping[str, torch.Tensor]]:
    """Give the first utterances in batches, as SpeechModel.summed_loss takes them."""
    chosen = utterances[: NUM_SAMPLE_BATCHES * SAMPLE_BATCH_SIZE]
    dataset = SpeechDataset(chosen, speech)
    device = next(speech.network.parameters()).device
    for rows in in_order(chosen, batch_size=batch_size, width_s=partial(speech.shown_s, window="padded")):
        batch = dataset[rows]
        yield encoder_inputs(batch, speech, device) | target_inputs(batch, device)


def _loss(speech: SpeechModel, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Average the loss over the targets of a batch."""
    return speech.summed_loss([batch]) / len(batch["targets"])
