"""Whisper's greedy decoding: prompts, language detection, and the same tokens as transformers' generate.

B batch, P positions of 20 ms, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import EncoderDecoderCache, GenerationConfig, WhisperForConditionalGeneration

from eartune.errors import InputError, nearest
from eartune.ops.greedy import decode_greedily

# Options of a generation config that the loop implements, or that have no effect on greedy decoding. Models that set
# any other one are decoded by generate.
GREEDY_LOOP_OPTIONS = frozenset({
    # implemented by the loop, its prompts and language detection
    "decoder_start_token_id", "eos_token_id", "suppress_tokens", "begin_suppress_tokens", "no_timestamps_token_id",
    "is_multilingual", "lang_to_id", "task_to_id",
    # decided by DecodeOptions, the task and the clip's language
    "max_length", "num_beams", "do_sample", "task", "language", "forced_decoder_ids", "return_timestamps",
    "no_speech_threshold", "logprob_threshold", "compression_ratio_threshold",
    # only for sampling and beam search
    "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "length_penalty",
    "early_stopping",
    # only for timestamps, and recordings of several windows
    "alignment_heads", "max_initial_timestamp_index", "return_token_timestamps", "prev_sot_token_id",
    "condition_on_prev_tokens", "prompt_condition_type",
    # only for generate's cache and return values
    "use_cache", "bos_token_id", "pad_token_id", "return_dict_in_generate", "output_scores", "output_logits",
    "output_attentions", "output_hidden_states", "transformers_version",
})  # fmt: skip

# Values with which other options have no effect; None and empty lists have none either.
NEUTRAL_VALUES = {
    "repetition_penalty": 1, "encoder_repetition_penalty": 1, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0, "guidance_scale": 1,
    "renormalize_logits": False, "remove_invalid_values": False, "diversity_penalty": 0, "num_beam_groups": 1,
}  # fmt: skip


def supports_greedy_loop(settings: GenerationConfig) -> bool:
    """Return whether `decode_greedily` gives the same tokens as generate under a model's generation config."""
    return all(
        name in GREEDY_LOOP_OPTIONS or name.startswith("_") or value in (None, [], NEUTRAL_VALUES.get(name))
        for name, value in vars(settings).items()
    )


def detect_languages(network: WhisperForConditionalGeneration, states_BPD: torch.Tensor) -> list[str]:
    """Return the most probable language token (<|en|>) of each row, as in OpenAI's language detection."""
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
    """Return the decoder prompts; `languages` are language tokens, which English-only models do not use."""
    settings = network.generation_config
    start, end = settings.decoder_start_token_id, settings.no_timestamps_token_id
    if not settings.is_multilingual:
        return [[start, end] for _ in languages]
    return [[start, settings.lang_to_id[language], settings.task_to_id[task], end] for language in languages]


@dataclass(frozen=True)
class FirstStep:
    """Predictions of a decoder for each row at its first step: the probability of <|nospeech|> after
    <|startoftranscript|>, and whether it would end at once if that were not suppressed.
    """

    no_speech_B: torch.Tensor
    ends_B: torch.Tensor


def first_step(network: WhisperForConditionalGeneration, hidden_BUD: torch.Tensor) -> FirstStep:
    """Return the predictions from the decoder's states [B, U, D] for its prompts."""
    settings = network.generation_config
    start_BV, last_BV = (network.proj_out(hidden_BUD[:, place]).float() for place in (0, -1))
    # <|nospeech|> stands before <|notimestamps|> in every vocabulary
    no_speech_B = start_BV.softmax(dim=-1)[:, settings.no_timestamps_token_id - 1]
    return FirstStep(no_speech_B, last_BV.argmax(dim=-1) == settings.eos_token_id)


def decode(
    network: WhisperForConditionalGeneration,
    states_BPD: torch.Tensor,
    prompts_BU: torch.Tensor,
    *,
    max_length: int,
) -> list[list[int]]:
    """Return the tokens that follow each prompt, without <|endoftext|>: at most `max_length`, fewer if prompt and
    tokens reach the model's maximum length.
    """
    return decode_with_first_step(network, states_BPD, prompts_BU, max_length=max_length)[0]


@torch.no_grad()
def decode_with_first_step(
    network: WhisperForConditionalGeneration,
    states_BPD: torch.Tensor,
    prompts_BU: torch.Tensor,
    *,
    max_length: int,
    temperature: float = 0.0,
) -> tuple[list[list[int]], FirstStep]:
    """Return the same tokens as `decode`, and the predictions at the first step.

    At temperatures above 0 tokens are sampled with torch's global random generator.
    """
    firsts: list[FirstStep] = []

    def scores(
        tokens_BU: torch.Tensor, states_BPD: torch.Tensor, _: torch.Tensor | None, cache: EncoderDecoderCache
    ) -> torch.Tensor:
        hidden_BUD = network.model.decoder(
            tokens_BU, encoder_hidden_states=states_BPD, past_key_values=cache, use_cache=True
        ).last_hidden_state
        if not firsts:
            firsts.append(first_step(network, hidden_BUD))
        # float32 as in generate, so that ties stay ties
        scores_BV: torch.Tensor = network.proj_out(hidden_BUD[:, -1:])[:, -1].float()
        first = cache.get_seq_length() == prompts_BU.shape[1]
        scores_BV = scores_BV.masked_fill(never_first_V if first else never_V, -torch.inf)
        if temperature:
            # Gumbel-max: the argmax of scores with Gumbel noise is a sample from their softmax
            scores_BV = scores_BV / temperature - torch.empty_like(scores_BV).exponential_().log()
        return scores_BV

    never_V, never_first_V = _suppressed(network, states_BPD.device)
    num_steps = min(max_length, network.config.max_target_positions - prompts_BU.shape[1])
    tokens = decode_greedily(
        scores, states_BPD, prompts_BU, end=int(network.generation_config.eos_token_id), max_length=num_steps
    )
    return tokens, firsts[0]


@torch.no_grad()
def average_logprob(
    network: WhisperForConditionalGeneration, states_BPD: torch.Tensor, prompt: Sequence[int], tokens: Sequence[int]
) -> float:
    """Return the mean log-probability of one row's tokens and its end, suppressed tokens left out (as openai-whisper).

    `states_BPD` has one row.
    """
    never_V, never_first_V = _suppressed(network, states_BPD.device)
    most = network.config.max_target_positions - len(prompt) + 1
    written_U = torch.tensor([*tokens, network.generation_config.eos_token_id][:most], device=states_BPD.device)
    inputs_BU = torch.cat([torch.tensor(prompt, device=states_BPD.device), written_U[:-1]])[None]
    hidden_BUD = network.model.decoder(inputs_BU, encoder_hidden_states=states_BPD, use_cache=False).last_hidden_state
    logits_UV = network.proj_out(hidden_BUD[0, len(prompt) - 1 :]).float().masked_fill(never_V, -torch.inf)
    logits_UV[0].masked_fill_(never_first_V, -torch.inf)
    return float(logits_UV.log_softmax(dim=-1).gather(1, written_U[:, None]).mean())


def _suppressed(network: WhisperForConditionalGeneration, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return masks [V] of the tokens that are always suppressed, and of those suppressed at the first step."""
    settings = network.generation_config
    never_V = torch.zeros(network.config.vocab_size, dtype=torch.bool, device=device)
    never_V[settings.suppress_tokens or []] = True
    never_first_V = never_V.clone()
    never_first_V[settings.begin_suppress_tokens or []] = True
    return never_V, never_first_V
