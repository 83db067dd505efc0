"""The loss of a batch as a module: on the device, in the precision of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import nn

from eartune.config.window import WindowSection
from eartune.model import IGNORED, SpeechModel, SupportsEncoderCache
from eartune.ops.spec_augment import SpecAugment
from eartune.training.batching.batches import Batch
from eartune.training.device import Precision, autocast
from eartune.training.encoder_cache import EncoderCache


class SpeechLoss(nn.Module):
    """Batches -> their loss, summed over all targets (a float32 scalar).

    `network` is the module whose parameters are trained; batches come from the CPU, and are moved to its device.
    In training mode the inputs are augmented and the targets smoothed; in evaluation mode neither. Encoder states come
    from `cache` for batches with keys. `fixed_norms` are BatchNorms whose statistics must not change.
    """

    def __init__(
        self,
        model: SpeechModel,
        *,
        precision: Precision = "fp32",
        label_smoothing: float = 0.0,
        augment: SpecAugment | None = None,
        cache: EncoderCache | None = None,
        fixed_norms: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.network: nn.Module = model.network
        self.precision = precision
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.cache = cache
        self.fixed_norms = tuple(fixed_norms)
        self.training = model.network.training

    @property
    def config(self) -> Any:
        """The network's configuration, which transformers' callbacks log."""
        return self.model.network.config

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for norm in self.fixed_norms:
            norm.eval()
        return self

    def forward(self, batches: Sequence[Batch]) -> torch.Tensor:
        # one context for all: autocast casts each weight once in it
        with autocast(self.device, self.precision):
            inputs = [self._encoder_inputs(batch) | target_inputs(batch, self.device) for batch in batches]
            return self.model.summed_loss(inputs, label_smoothing=self.label_smoothing if self.training else 0.0)

    def _encoder_inputs(self, batch: Batch) -> dict[str, torch.Tensor]:
        if batch.keys:
            assert self.cache is not None
            states = self.cache.states(batch, self._encode).to(self.device, non_blocking=True)
            return {"encoder_states": states.float() if self.precision == "fp32" else states}
        return encoder_inputs(batch, self.model, self.device, augment=self.augment if self.training else None)

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
