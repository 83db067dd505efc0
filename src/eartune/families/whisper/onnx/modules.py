"""Whisper's network in the three pieces that are traced: an encoder, and a decoder without and with its past.

B batch, M mel bins, T frames, P positions of 20 ms, D model width, U tokens, V vocabulary, H heads, K keys, C channels
of a head. A past is, layer after layer, the keys and values [B, H, K, C] of the tokens, then those of the encoder.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from transformers import DynamicCache, EncoderDecoderCache, WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperEncoder


def traceable(network: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """Return a copy in float32 on the CPU that transformers itself computes, for windows of the usual length."""
    copied = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    copied.model.encoder.__class__ = WhisperEncoder
    copied.set_attn_implementation("sdpa")
    return copied


class Encoder(nn.Module):
    """Features [B, M, T] -> states [B, P, D]."""

    def __init__(self, network: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.encoder = network.model.encoder

    def forward(self, features_BMT: torch.Tensor) -> torch.Tensor:
        states_BPD: torch.Tensor = self.encoder(features_BMT).last_hidden_state
        return states_BPD


class _Decoder(nn.Module):
    """The decoder and its head, whose one table is stored the way the head multiplies with it: [D, V]."""

    head_DV: torch.Tensor
    embedding_DV: torch.Tensor

    def __init__(self, network: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.decoder = network.model.decoder
        head_VD, embedding_VD = network.proj_out.weight, self.decoder.embed_tokens.weight
        head_DV = head_VD.T.contiguous()
        self.register_buffer("head_DV", head_DV)
        tied = torch.equal(head_VD, embedding_VD)
        self.register_buffer("embedding_DV", head_DV if tied else embedding_VD.T.contiguous())

    def logits(self, tokens_BU: torch.Tensor, states_BPD: torch.Tensor, cache: EncoderDecoderCache) -> torch.Tensor:
        embedded_DN = self.embedding_DV.index_select(1, tokens_BU.flatten())
        embedded_BUD = embedded_DN.T.reshape(*tokens_BU.shape, -1)
        hidden_BUD = self.decoder(
            inputs_embeds=embedded_BUD, encoder_hidden_states=states_BPD, past_key_values=cache, use_cache=True
        ).last_hidden_state
        logits_BUV: torch.Tensor = hidden_BUD @ self.head_DV
        return logits_BUV


class FirstDecoder(_Decoder):
    """Tokens [B, U], states [B, P, D] -> logits [B, U, V], and the past of both."""

    def forward(self, tokens_BU: torch.Tensor, states_BPD: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        logits_BUV = self.logits(tokens_BU, states_BPD, cache)
        own, cross = cache.self_attention_cache.layers, cache.cross_attention_cache.layers
        past = [(mine.keys, mine.values, other.keys, other.values) for mine, other in zip(own, cross, strict=True)]
        return (logits_BUV, *(tensor for layer in past for tensor in layer))


class NextDecoder(_Decoder):
    """Tokens [B, U] that follow a past -> logits [B, U, V], and the past of all tokens; the encoder's stays."""

    def forward(self, tokens_BU: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        own, cross = DynamicCache(), DynamicCache()
        for number in range(len(past) // 4):
            keys, values, cross_keys, cross_values = past[4 * number : 4 * number + 4]
            own.update(keys, values, number)
            cross.update(cross_keys, cross_values, number)
        # their keys and values are in the past already: these states are not read
        logits_BUV = self.logits(tokens_BU, torch.zeros(1, 1, 1), EncoderDecoderCache(own, cross))
        return (logits_BUV, *(tensor for layer in own.layers for tensor in (layer.keys, layer.values)))
