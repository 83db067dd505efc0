"""What of a network is trained: an adapter put into it, or its own weights, with or without the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from eartune.config.adapter import AdapterSection
from eartune.config.sections import ModelSection
from eartune.manifest import Utterance
from eartune.reporting import Reporter
from eartune.speech_model import IGNORED, SpeechModel
from eartune.training.adaptation.adapter_files import Weights, adapter_weights
from eartune.training.adaptation.adapters import attach, changes_base, count_parameters, freeze_encoder, lora_config
from eartune.training.adaptation.fast_lora import keep_frozen_weights
from eartune.training.adaptation.targets import resolve_targets
from eartune.training.batching.batches import SpeechDataset, in_order, to_inputs
from eartune.training.device import Precision, compute_dtype

# how many batches an initialisation that looks at data gets to see
NUM_SAMPLE_BATCHES = 8
SAMPLE_BATCH_SIZE = 8


def make_trainable(
    speech: SpeechModel,
    model: ModelSection,
    adapter: AdapterSection,
    utterances: Sequence[Utterance],
    *,
    base_spec: str,
    precision: Precision,
    report: Reporter,
) -> Weights | None:
    """Attach the adapter or open all weights, freeze what is not trained, and tell the counts.

    Returns the adapter's first value where its initialisation changed the base weights: saving needs it later.
    Raises InputError where names or options do not fit the network.
    """
    initial = None
    if model.method == "lora":
        targets = resolve_targets(speech.network, adapter, speech.blocks, freeze_encoder=model.freeze_encoder)
        for note in targets.notes:
            report.line(note)
        config = lora_config(adapter, targets)
        config.base_model_name_or_path = base_spec
        speech.network = attach(
            speech.network, config, sample_batches=lambda: _sample_batches(speech, utterances), loss=_plain_loss
        )
        if changes_base(config):
            initial = adapter_weights(speech.network)
        if model.base_weights == "auto" and precision != "fp32":
            keep_frozen_weights(speech.network, compute_dtype(precision))
    if model.freeze_encoder:
        freeze_encoder(speech.network, speech.blocks)
    for count in count_parameters(speech.network, speech.blocks):
        report.line(f"{count.block}: {count.trained:,} of {count.total:,} parameters trained")
    return initial


def _sample_batches(speech: SpeechModel, utterances: Sequence[Utterance]) -> Iterable[dict[str, torch.Tensor]]:
    """Give the first utterances in batches, as keyword arguments of the network and labels."""
    chosen = utterances[: NUM_SAMPLE_BATCHES * SAMPLE_BATCH_SIZE]
    dataset = SpeechDataset(chosen, speech)
    device = next(speech.network.parameters()).device
    for rows in in_order(chosen, batch_size=SAMPLE_BATCH_SIZE, width_s=lambda _: speech.max_duration_s):
        yield to_inputs(dataset[rows], speech, device)


def _plain_loss(network: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    arguments = {name: value for name, value in inputs.items() if name != "labels"}
    logits_BUV = network(**arguments).logits
    return nn.functional.cross_entropy(logits_BUV.flatten(0, 1), inputs["labels"].flatten(), ignore_index=IGNORED)
