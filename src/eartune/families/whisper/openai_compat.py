"""Assumptions that programs outside transformers make about a Whisper network.

They identify OpenAI's tokens by id and its layers by their sizes; with other sizes their transcripts are wrong.
"""

from __future__ import annotations

import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from eartune.errors import InputError
from eartune.families.whisper.tokenizer import NUM_TIMESTAMPS, special_tokens

ENGLISH_ONLY_TOKENS = 51864
# the number of tokens -> the number of languages; the first is English-only
NUM_LANGUAGES = {ENGLISH_ONLY_TOKENS: 99, 51865: 99, 51866: 100}
WINDOW_POSITIONS = 1500
TEXT_POSITIONS = 448
# OpenAI's name of a token -> that in older tokenizers on the Hub
OLD_NAMES = {"<|nospeech|>": "<|nocaptions|>"}


def require_openai_layout(network: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer) -> None:
    """Raise InputError with the first difference from OpenAI's models."""
    assert isinstance(network, WhisperForConditionalGeneration), "adapters are merged first"
    finding = _finding(network) or _foreign_token(tokenizer, num_tokens=network.config.vocab_size)
    if finding:
        raise InputError(
            f"the model {finding}; faster-whisper, openai-whisper and whisper.cpp support OpenAI's architecture only;"
            " export it as a Hugging Face folder"
        )


def _finding(network: WhisperForConditionalGeneration) -> str | None:
    config = network.config
    widths = {config.encoder_ffn_dim / config.d_model, config.decoder_ffn_dim / config.d_model}
    if config.vocab_size not in NUM_LANGUAGES:
        return f"has {config.vocab_size} tokens, not one of {', '.join(map(str, NUM_LANGUAGES))}"
    if config.max_source_positions != WINDOW_POSITIONS:
        return f"has windows of {config.max_source_positions / 50:g} s, not of 30 s"
    if config.max_target_positions != TEXT_POSITIONS:
        return f"has texts of at most {config.max_target_positions} tokens, not of {TEXT_POSITIONS}"
    if config.num_mel_bins not in (80, 128):
        return f"has {config.num_mel_bins} mel bins, not 80 or 128"
    if widths != {4}:
        return "has feed-forward layers that are not 4 times as wide as the model"
    if config.activation_function != "gelu":
        return f"has the activation {config.activation_function}, not gelu"
    if config.scale_embedding:
        return "scales its embeddings"
    if not torch.equal(network.proj_out.weight, network.model.decoder.embed_tokens.weight):
        return "has a head (proj_out) that is not its token embedding"
    return None


def _foreign_token(tokenizer: WhisperTokenizer, *, num_tokens: int) -> str | None:
    if len(tokenizer) > num_tokens:
        return f"has a tokenizer of {len(tokenizer)} tokens for a network of {num_tokens}"
    specials = special_tokens(num_languages=NUM_LANGUAGES[num_tokens])
    first = num_tokens - len(specials)
    for token, name in enumerate(specials, start=first):
        if token >= len(tokenizer) and token >= num_tokens - NUM_TIMESTAMPS:
            # older tokenizers lack the timestamps
            break
        found = tokenizer.convert_ids_to_tokens(token)
        if found not in (name, OLD_NAMES.get(name)):
            return f"has {found!r} as token {token} where OpenAI has {name!r}"
    return None
