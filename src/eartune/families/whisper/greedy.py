"""Whisper's greedy decoding of a batch, in which rows that have ended leave.

The tokens are those of transformers' generate, which keeps every row until the last one has ended.
B batch, P positions of 20 ms, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, WhisperForConditionalGeneration

from eartune.errors import InputError, nearest

# Copying a row's memory out of the batch takes about as long as so many tokens of it. Ended rows leave once they have
# idled for longer than the copy of the others takes.
COPY_IN_TOKENS = 3
# What a model's own settings may ask of its decoding besides suppressed tokens, and the values that ask for nothing.
SPECIAL_WISHES = {
    "repetition_penalty": 1, "encoder_repetition_penalty": 1, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0, "max_new_tokens": 0, "bad_words_ids": [],
    "sequence_bias": [], "forced_bos_token_id": None, "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
}  # fmt: skip


def is_plain(settings: GenerationConfig) -> bool:
    """Tell whether a model's settings ask for nothing that `decode_greedily` does not do."""
    return all(getattr(settings, name, None) in (None, nothing) for name, nothing in SPECIAL_WISHES.items())


def detect_languages(network: WhisperForConditionalGeneration, states_BPD: torch.Tensor) -> list[str]:
    """Return the language token (<|en|>) that the model finds likeliest for each row, as OpenAI's detection does."""
    settings = network.generation_config
    languages = {identity: token for token, identity in settings.lang_to_id.items()}
    start_B1 = torch.full((len(states_BPD), 1), settings.decoder_start_token_id, device=states_BPD.device)
    hidden_B1D = network.model.decoder(start_B1, encoder_hidden_states=states_BPD, use_cache=False).last_hidden_state
    logits_BV = network.proj_out(hidden_B1D)[:, -1].float()
    known = torch.tensor(sorted(languages), device=logits_BV.device)
    return [languages[identity] for identity in known[logits_BV[:, known].argmax(dim=-1)].tolist()]


def complete_languages(
    network: WhisperForConditionalGeneration, states_BPD: torch.Tensor, languages: Sequence[str | None]
) -> list[str]:
    """Return each row's language token, detected where no language is given. Raises InputError for an unknown one."""
    known = network.generation_config.lang_to_id
    for language in languages:
        if language is not None and f"<|{language}|>" not in known:
            names = sorted(token.strip("<|>") for token in known)
            raise InputError(f"language {language!r} is not one the model has a token for.{nearest(language, names)}")
    missing = [row for row, language in enumerate(languages) if language is None]
    detected = iter(detect_languages(network, states_BPD[missing]) if missing else [])
    return [next(detected) if language is None else f"<|{language}|>" for language in languages]


def prompts(network: WhisperForConditionalGeneration, languages: Sequence[str], *, task: str) -> list[list[int]]:
    """Return what the decoder is given before it writes; `languages` are tokens, and unused by English-only models."""
    settings = network.generation_config
    start, end = settings.decoder_start_token_id, settings.no_timestamps_token_id
    if not settings.is_multilingual:
        return [[start, end] for _ in languages]
    return [[start, settings.lang_to_id[language], settings.task_to_id[task], end] for language in languages]


@torch.no_grad()
def decode_greedily(
    network: WhisperForConditionalGeneration,
    states_BPD: torch.Tensor,
    prompts_BU: torch.Tensor,
    *,
    max_length: int,
) -> list[list[int]]:
    """Return the tokens that follow each prompt, without <|endoftext|>: at most `max_length`, fewer where a row's
    prompt and tokens reach the model's longest text.
    """
    settings, device = network.generation_config, states_BPD.device
    end = settings.eos_token_id
    never_V, never_first_V = _suppressed(network, device)
    num_steps = min(max_length, network.config.max_target_positions - prompts_BU.shape[1])
    looks = tokens_between_looks(device)
    written_BU = torch.full((len(prompts_BU), num_steps), end, device=device)
    idled = 0
    # of the rows that are still in the batch: which they are, and whether they have ended
    rows_B = torch.arange(len(prompts_BU), device=device)
    ended_B = torch.zeros_like(rows_B, dtype=torch.bool)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    inputs_BU = prompts_BU
    for step in range(num_steps):
        hidden_BUD = network.model.decoder(
            inputs_BU, encoder_hidden_states=states_BPD, past_key_values=cache, use_cache=True
        ).last_hidden_state
        # float32 as in generate, so that equal scores stay equal
        scores_BV = network.proj_out(hidden_BUD[:, -1:])[:, -1].float()
        scores_BV = scores_BV.masked_fill(never_V if step else never_first_V, -torch.inf)
        tokens_B = scores_BV.argmax(dim=-1).masked_fill(ended_B, end)
        written_BU[rows_B, step] = tokens_B
        ended_B = tokens_B == end
        if (step + 1) % looks == 0:
            num_ended = int(ended_B.sum())
            if num_ended == len(ended_B):
                break
            idled += looks * num_ended
            if idled >= COPY_IN_TOKENS * (len(ended_B) - num_ended):
                idled = 0
                staying = (~ended_B).nonzero()[:, 0]
                cache.batch_select_indices(staying)
                states_BPD, rows_B = states_BPD[staying], rows_B[staying]
                tokens_B, ended_B = tokens_B[staying], ended_B[staying]
        inputs_BU = tokens_B[:, None]
    return [row[: row.index(end)] if end in row else row for row in written_BU.tolist()]


def tokens_between_looks(device: torch.device) -> int:
    """Return how often to look for rows that have ended: on an accelerator each look waits for all that is queued."""
    return 1 if device.type == "cpu" else 4


def _suppressed(network: WhisperForConditionalGeneration, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return masks [V] of the tokens that are never written, and of those that are not written first."""
    settings = network.generation_config
    never_V = torch.zeros(network.config.vocab_size, dtype=torch.bool, device=device)
    never_V[settings.suppress_tokens or []] = True
    never_first_V = never_V.clone()
    never_first_V[settings.begin_suppress_tokens or []] = True
    return never_V, never_first_V
