"""Transformers' CTC networks, prepared to train and to decode batches in which each clip is as if it were alone.

B batch, S samples, C channels, T frames, P positions of the encoder, V tokens with the blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from peft import PeftModel
from torch import nn
from transformers import HubertForCTC, Wav2Vec2BertForCTC, Wav2Vec2ForCTC

from eartune.model import Network
from eartune.ops.widths import within

CLASSES: Mapping[str, Any] = {
    "wav2vec2": Wav2Vec2ForCTC,
    "wav2vec2-bert": Wav2Vec2BertForCTC,
    "hubert": HubertForCTC,
}
INPUTS = ("input_values", "input_features", "attention_mask", "mask_time_indices")


class ClipNorm(nn.GroupNorm):
    """A group norm over time, of each clip without the padding after it.

    transformers normalises over the padding too, so that the outputs for a clip depend on the others of its batch.
    """

    frames_B: torch.Tensor | None = None

    def forward(self, states_BCT: torch.Tensor) -> torch.Tensor:
        if self.frames_B is None:
            return super().forward(states_BCT)
        assert self.num_groups == self.num_channels
        mask_B1T = within(self.frames_B, states_BCT.shape[2])[:, None]
        count_B11 = self.frames_B.clamp(min=1)[:, None, None]
        values_BCT = states_BCT.float() * mask_B1T
        mean_BC1 = values_BCT.sum(dim=2, keepdim=True) / count_B11
        variance_BC1 = ((values_BCT - mean_BC1) * mask_B1T).square().sum(dim=2, keepdim=True) / count_B11
        normed_BCT = (states_BCT - mean_BC1) * torch.rsqrt(variance_BC1 + self.eps)
        return (normed_BCT * self.weight[:, None] + self.bias[:, None]).to(states_BCT.dtype)


class ClipConv(nn.Conv1d):
    """A convolution that reads zeros after each clip, as it does where the clip is alone."""

    lengths_B: torch.Tensor | None = None

    def forward(self, states_BCT: torch.Tensor) -> torch.Tensor:
        if self.lengths_B is not None:
            states_BCT = states_BCT * within(self.lengths_B, states_BCT.shape[2])[:, None]
        return super().forward(states_BCT)


def ctc_of(network: Network) -> Network:
    """Return the network inside an adapter's wrapper."""
    return network.get_base_model() if isinstance(network, PeftModel) else network


def encoder_name(network: Network) -> str:
    """Return the name of the encoder in the network: wav2vec2, wav2vec2_bert or hubert."""
    return str(ctc_of(network).base_model_prefix)


def prepare_network(network: Network) -> None:
    """Make a network train and decode each clip as if it were alone."""
    config = network.config
    # layers skipped at random ruin a fine-tuning; those that shorten the states would change their number too
    config.layerdrop = 0.0
    for module in network.modules():
        if hasattr(module, "layerdrop"):
            module.layerdrop = 0.0
    # as its loss is computed here, for whoever trains the saved model on in transformers
    config.ctc_zero_infinity, config.ctc_loss_reduction = True, "mean"
    # masks of frames come with the batch; this switch lets them through
    config.apply_spec_augment = True
    encoder = getattr(network, encoder_name(network))
    if hasattr(encoder, "feature_extractor"):
        # else samples would get gradients that nothing needs
        encoder.feature_extractor._requires_grad = False
    norms = [module for module in encoder.modules() if type(module) is nn.GroupNorm]
    for norm in norms:
        norm.__class__ = ClipNorm
    for conv in _adapter_convolutions(encoder):
        conv.__class__ = ClipConv
    if norms or _adapter_convolutions(encoder):
        encoder.register_forward_pre_hook(_tell_lengths, with_kwargs=True)


def _adapter_convolutions(encoder: Any) -> list[nn.Conv1d]:
    """Return the convolutions that shorten the states after the last layer (`add_adapter`)."""
    adapter = getattr(encoder, "adapter", None)
    return [] if adapter is None else [module for module in adapter.modules() if isinstance(module, nn.Conv1d)]


def _tell_lengths(encoder: Any, _positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Tell norms and convolutions over time how many of their frames are those of each clip."""
    mask = named.get("attention_mask")
    samples_B = None if mask is None else mask.sum(dim=1)
    for norm in (module for module in encoder.modules() if isinstance(module, ClipNorm)):
        # after the first convolution
        (kernel, *_), (stride, *_) = encoder.config.conv_kernel, encoder.config.conv_stride
        norm.frames_B = None if samples_B is None else ((samples_B - kernel) // stride + 1).clamp(min=0)
    lengths_B = None if samples_B is None else _frames(encoder.config, samples_B)
    for layer in encoder.adapter.layers if _adapter_convolutions(encoder) else ():
        for conv in (module for module in layer.modules() if isinstance(module, ClipConv)):
            conv.lengths_B = lengths_B
        lengths_B = None if lengths_B is None else (lengths_B - 1) // encoder.config.adapter_stride + 1


def inputs_of(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the network's inputs in a batch."""
    return {name: batch[name] for name in INPUTS if name in batch}


def logits(network: Network, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits [B, P, V] and the number of positions of each clip [B]."""
    ctc = ctc_of(network)
    logits_BPV = cast(torch.Tensor, ctc(**inputs).logits)
    lengths_B = num_positions(ctc, inputs["attention_mask"].sum(dim=1))
    return logits_BPV, lengths_B.clamp(min=0, max=logits_BPV.shape[1])


def num_positions(network: Network, lengths_B: torch.Tensor) -> torch.Tensor:
    """Return the number of encoder positions for numbers of samples, or of filter bank positions."""
    found: torch.Tensor = ctc_of(network)._get_feat_extract_output_lengths(lengths_B).long()
    return found


def num_frames(network: Network, lengths_B: torch.Tensor) -> torch.Tensor:
    """Return the number of frames that the first layer of the encoder has, which masks apply to."""
    return _frames(ctc_of(network).config, lengths_B)


def _frames(config: Any, lengths_B: torch.Tensor) -> torch.Tensor:
    if config.model_type == "wav2vec2-bert":
        return lengths_B
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        lengths_B = (lengths_B - kernel) // stride + 1
    return lengths_B.clamp(min=0)


def samples_per_position(network: Network) -> int:
    """Return the number of samples between two positions of the encoder."""
    config = ctc_of(network).config
    ratio = 320 if config.model_type == "wav2vec2-bert" else int(config.inputs_to_logits_ratio)
    if getattr(config, "add_adapter", False):
        ratio *= config.adapter_stride**config.num_adapter_layers
    return ratio
