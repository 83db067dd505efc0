"""Forward pass of a batch to its loss, on the device, in the precision of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from eartune.config.window import WindowSection
from eartune.model import IGNORED, SpeechModel, SupportsEncoderCache
from eartune.ops.spec_augment import SpecAugment
from eartune.training.batching.batches import Batch
from eartune.training.device import Precision, autocast
from eartune.training.encoder_cache import EncoderCache


@dataclass(frozen=True)
class Forward:
    """Computes the losses of a run. Encoder states come from `cache` for batches with keys."""

    model: SpeechModel
    device: torch.device
    precision: Precision
    label_smoothing: float = 0.0
    augment: SpecAugment | None = None
    cache: EncoderCache | None = None
    # BatchNorms whose statistics must not change
    fixed_norms: Sequence[nn.Module] = ()

    def begin_training(self) -> None:
        """Put the network into training mode, except for `fixed_norms`."""
        self.model.network.train()
        for norm in self.fixed_norms:
            norm.eval()

    def training_loss(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Sum the training loss over the targets of batches, with augmentation and label smoothing, in one graph."""
        # one context for all: autocast casts each weight once in it
        with autocast(self.device, self.precision):
            inputs = [self._encoder_inputs(batch) | target_inputs(batch, self.device) for batch in batches]
            return self.model.summed_loss(inputs, label_smoothing=self.label_smoothing)

    @torch.no_grad()
    def plain_loss(self, batch: Batch) -> torch.Tensor:
        """Sum the validation loss over the targets of a batch, without augmentation and label smoothing."""
        with autocast(self.device, self.precision):
            return self.model.summed_loss(
                [encoder_inputs(batch, self.model, self.device) | target_inputs(batch, self.device)]
            )

    def _encoder_inputs(self, batch: Batch) -> dict[str, torch.Tensor]:
        if batch.keys:
            assert self.cache is not None
            states = self.cache.states(batch, self._encode).to(self.device, non_blocking=True)
            return {"encoder_states": states.float() if self.precision == "fp32" else states}
        return encoder_inputs(batch, self.model, self.device, augment=self.augment)

    @torch.no_grad()
    def _encode(self, batch: Batch) -> torch.Tensor:
        model = cast(SupportsEncoderCache, self.model)
        return model.encode(encoder_inputs(batch, model, self.device))


def encoder_inputs(
    batch: Batch, model: SpeechModel, device: torch.device, *, augment: SpecAugment | None = None
) -> dict[str, torch.Tensor]:
    """Compute the encoder's inputs for a batch on a device, masked by `augment`."""
    waveforms_BS, samples_B = _on_device(batch.waveforms, device), _on_device(batch.samples, device)
    return model.features(waveforms_BS, samples_B, batch.width_s, augment)


def spec_augment(window: WindowSection) -> SpecAugment | None:
    """Return the configured SpecAugment, or None if it is off."""
    if not window.spec_augment:
        return None
    return SpecAugment(
        window.mask_time_prob, window.mask_time_length, window.mask_feature_prob, window.mask_feature_length
    )


def _on_device(tensor: torch.Tensor | None, device: torch.device) -> torch.Tensor:
    assert tensor is not None
    return tensor.to(device, non_blocking=True)


def target_inputs(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    """Return decoder inputs and targets for SpeechModel.summed_loss, built on the CPU so as not to wait for a GPU."""
    labels = batch.labels.flatten()
    rows_N = (labels != IGNORED).nonzero().flatten()
    found = {
        "decoder_input_ids": batch.decoder_input_ids,
        "target_positions": rows_N,
        "targets": labels[rows_N],
        "target_lengths": (batch.labels != IGNORED).sum(dim=1),
    }
    return {name: tensor.to(device, non_blocking=True) for name, tensor in found.items()}
