"""Canary in the pieces that are traced.

B batch, M mel bins, T frames, P positions of the encoder, U tokens, C tokens read before, D width of the decoder, L its
layers, V tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import CanaryForConditionalGeneration

from eartune.families._nemo.onnx import EncoderGraph
from eartune.ops.widths import within


class CanaryEncoderGraph(nn.Module):
    """Features [B, M, T] and their lengths -> what the decoder attends to [B, P, 2LD], lengths, mask [B, P].

    These are the keys and values of all its layers, which each step would otherwise compute again of the states.
    """

    def __init__(self, network: CanaryForConditionalGeneration) -> None:
        super().__init__()
        self.encoder = EncoderGraph(network.model.encoder)
        attentions = [layer.encoder_attn for layer in network.model.decoder.layers]
        self.projections = nn.ModuleList(each for attn in attentions for each in (attn.k_proj, attn.v_proj))

    def forward(
        self, audio_signal_BMT: torch.Tensor, length_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        states_BPD, positions_B = self.encoder(audio_signal_BMT, length_B)
        mask_BP = within(positions_B, states_BPD.shape[1])
        return torch.cat([each(states_BPD) for each in self.projections], dim=-1), positions_B, mask_BP.long()


class DecoderGraph(nn.Module):
    """Tokens [B, U] after C others -> log probabilities [B, U, V], and keys and values for the next [2L, B, C + U, D].

    The forward of transformers' decoder, with its cache as one tensor.
    """

    def __init__(self, network: CanaryForConditionalGeneration, num_tokens: int) -> None:
        super().__init__()
        self.decoder, self.head = network.model.decoder, network.proj_out
        self.num_tokens, self.num_layers = num_tokens, len(self.decoder.layers)
        attention = self.decoder.layers[0].self_attn
        assert attention.num_key_value_groups == 1
        self.width, self.head_dim = attention.k_proj.out_features, attention.head_dim

    def forward(
        self, input_ids_BU: torch.Tensor, encoder_BPE: torch.Tensor, mask_BP: torch.Tensor, past_NBCD: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        decoder = self.decoder
        first, num_new = past_NBCD.shape[2], input_ids_BU.shape[1]
        all_A = torch.arange(first + num_new, device=input_ids_BU.device)
        # sherpa-onnx goes on where texts do not end
        places_U = all_A[first:].clamp(max=decoder.pos_emb.length - 1)
        before_UA = all_A <= all_A[first:, None]
        heard_B11P = mask_BP.bool()[:, None, None]
        hidden_BUD = decoder.embedding_layernorm(decoder.embed_tokens(input_ids_BU) + decoder.pos_emb(places_U))
        cross = encoder_BPE.chunk(2 * self.num_layers, dim=-1)
        caches = []
        for number, layer in enumerate(decoder.layers):
            normed_BUD = layer.input_layernorm(hidden_BUD)
            attention = layer.self_attn
            keys_BAD = torch.cat([past_NBCD[2 * number], attention.k_proj(normed_BUD)], dim=1)
            values_BAD = torch.cat([past_NBCD[2 * number + 1], attention.v_proj(normed_BUD)], dim=1)
            caches += [keys_BAD, values_BAD]
            hidden_BUD = hidden_BUD + self._attend(attention, normed_BUD, keys_BAD, values_BAD, before_UA)
            normed_BUD = layer.post_attention_layernorm(hidden_BUD)
            keys_BPD, values_BPD = cross[2 * number : 2 * number + 2]
            hidden_BUD = hidden_BUD + self._attend(layer.encoder_attn, normed_BUD, keys_BPD, values_BPD, heard_B11P)
            hidden_BUD = hidden_BUD + layer.mlp(layer.final_layernorm(hidden_BUD))
        log_probs_BUV = self.head(decoder.norm(hidden_BUD)).log_softmax(dim=-1)
        return log_probs_BUV[..., : self.num_tokens], torch.stack(caches)

    def _attend(
        self, attention: Any, queries_of: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        queries_BHUd, keys_BHPd, values_BHPd = (
            each.reshape(*each.shape[:2], -1, self.head_dim).transpose(1, 2)
            for each in (attention.q_proj(queries_of), keys, values)
        )
        found_BHUd = nn.functional.scaled_dot_product_attention(queries_BHUd, keys_BHPd, values_BHPd, attn_mask=mask)
        projected_BUD: torch.Tensor = attention.o_proj(found_BHUd.transpose(1, 2).flatten(2))
        return projected_BUD
