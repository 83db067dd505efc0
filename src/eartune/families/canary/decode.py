"""Canary's decoding of a batch: greedy search by our own loop, beam search by transformers.

B batch, P positions of 80 ms, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import CanaryForConditionalGeneration, EncoderDecoderCache
from transformers.models.parakeet.modeling_parakeet import ParakeetEncoderModelOutput

from eartune.model import DecodeOptions
from eartune.ops.greedy import decode_greedily

# NeMo's max_generation_delta: a text has at most this many tokens more than the encoder has positions
MOST_TOKENS_OVER_POSITIONS = 50


@torch.no_grad()
def decode(
    network: CanaryForConditionalGeneration,
    inputs: Mapping[str, torch.Tensor],
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    options: DecodeOptions,
) -> list[list[int]]:
    """Return the tokens after each prompt, without the end token; prompts may differ in length."""
    encoded = network.model.encoder(**inputs)
    states_BPD, mask_BP = encoded.last_hidden_state, encoded.attention_mask
    hypotheses: list[list[int]] = [[] for _ in prompts]
    for length in sorted({len(prompt) for prompt in prompts}):
        rows = [row for row, prompt in enumerate(prompts) if len(prompt) == length]
        prompts_BU = torch.tensor([list(prompts[row]) for row in rows], device=states_BPD.device)
        found = _decode_equal_prompts(network, states_BPD[rows], mask_BP[rows], prompts_BU, end=end, options=options)
        for row, tokens in zip(rows, found, strict=True):
            hypotheses[row] = tokens
    return hypotheses


def _decode_equal_prompts(
    network: CanaryForConditionalGeneration,
    states_BPD: torch.Tensor,
    mask_BP: torch.Tensor,
    prompts_BU: torch.Tensor,
    *,
    end: int,
    options: DecodeOptions,
) -> list[list[int]]:
    num_free = network.config.decoder_config.max_position_embeddings - prompts_BU.shape[1]
    num_steps = min(options.max_length, states_BPD.shape[1] + MOST_TOKENS_OVER_POSITIONS, num_free)
    if options.num_beams > 1:
        return _with_beams(network, states_BPD, mask_BP, prompts_BU, num_steps=num_steps, end=end, options=options)

    def scores(
        tokens_BU: torch.Tensor, states_BPD: torch.Tensor, mask_BP: torch.Tensor | None, cache: EncoderDecoderCache
    ) -> torch.Tensor:
        hidden_BUD = network.model.decoder(
            tokens_BU,
            encoder_hidden_states=states_BPD,
            encoder_attention_mask=mask_BP,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        scores_BV: torch.Tensor = network.proj_out(hidden_BUD[:, -1]).float()
        return scores_BV

    return decode_greedily(scores, states_BPD, prompts_BU, end=end, max_length=num_steps, mask_BP=mask_BP)


def _with_beams(
    network: CanaryForConditionalGeneration,
    states_BPD: torch.Tensor,
    mask_BP: torch.Tensor,
    prompts_BU: torch.Tensor,
    *,
    num_steps: int,
    end: int,
    options: DecodeOptions,
) -> list[list[int]]:
    tokens_BU = network.generate(
        encoder_outputs=ParakeetEncoderModelOutput(last_hidden_state=states_BPD, attention_mask=mask_BP),
        decoder_input_ids=prompts_BU,
        max_new_tokens=num_steps,
        num_beams=options.num_beams,
        eos_token_id=end,
    )
    rows = [row[prompts_BU.shape[1] :] for row in tokens_BU.tolist()]
    return [row[: row.index(end)] if end in row else row for row in rows]
