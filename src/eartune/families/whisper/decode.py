"""Whisper's decoding: batches of clips that fit into 30 s, and recordings of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer
from transformers.modeling_outputs import BaseModelOutput

from eartune.audio import SAMPLE_RATE_HZ
from eartune.families.whisper.features import HOP_SAMPLES, WINDOW_S, LogMel
from eartune.families.whisper.greedy import (
    FirstStep,
    complete_languages,
    decode_with_first_step,
    first_step,
    prompts,
    supports_greedy_loop,
)
from eartune.families.whisper.loss import whisper_of
from eartune.families.whisper.no_speech import TEN_DB, is_constant, loudness_below, repeats_itself, without_speech
from eartune.families.whisper.tokenizer import TIMESTAMP_STEP_S
from eartune.manifest import Segment
from eartune.model import DecodeOptions, EncoderWindow, Network, Waveform, pad_waveforms

# Whisper's own thresholds for trying a window again at a higher temperature (openai/whisper transcribe.py);
# the compression ratio is that of transformers, which measures tokens instead of bytes.
LONG_FORM: dict[str, Any] = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "condition_on_prev_tokens": False,
}

# half of Whisper's text positions, as in openai-whisper
MAX_SAMPLED_TOKENS = 224

# A short window is the longest clip and this much silence (64 positions), which Whisper needs to detect the end,
# rounded up to a step, so that there are few different lengths.
SILENCE_S = 1.28
FRAMES_PER_S = SAMPLE_RATE_HZ // HOP_SAMPLES
# a segment this much quieter than the loudest of its recording (30 dB) may be a pause
QUIET = 3 * TEN_DB


def transcribe_clips(
    network: Network,
    log_mel: LogMel,
    tokenizer: WhisperTokenizer,
    waveforms: Sequence[Waveform],
    languages: Sequence[str | None],
    *,
    task: str,
    options: DecodeOptions,
) -> list[str]:
    """Decode clips of at most 30 s greedily, or with beams, without timestamps.

    For a clip whose language is None a multilingual model detects it.
    """
    whisper = whisper_of(network)
    device = next(whisper.parameters()).device
    longest_s = max(len(waveform) for waveform in waveforms) / SAMPLE_RATE_HZ
    width_s = encoder_window(whisper).width_s(longest_s, options.window)
    features_BMT = log_mel(pad_waveforms(waveforms).to(device), width_s)
    with torch.no_grad():
        states_BPD = whisper.model.encoder(features_BMT.to(_dtype(whisper))).last_hidden_state
        language_tokens = _language_tokens(whisper, states_BPD, languages)
        prompts_BU = torch.tensor(prompts(whisper, language_tokens, task=task), device=device)
        tokens, first = _decode(whisper, states_BPD, prompts_BU, language_tokens, task=task, options=options)
        texts = [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]
        if options.no_speech:
            silent = without_speech(whisper, log_mel, waveforms, states_BPD, prompts_BU, tokens, first)
            for row, constant in enumerate(is_constant(features_BMT).tolist()):
                texts[row] = "" if constant or silent[row] else texts[row]
        if options.fallback:
            _resample(whisper, tokenizer, states_BPD, prompts_BU, language_tokens, texts, task=task, options=options)
    return texts


def encoder_window(whisper: WhisperForConditionalGeneration) -> EncoderWindow:
    """Return the limits of the encoder's input: 30 s, of which any number may be left out at the end."""
    return EncoderWindow(
        WINDOW_S,
        TIMESTAMP_STEP_S,
        # the longest prompt has three tokens and <|notimestamps|>
        max_tokens=whisper.config.max_target_positions - 4,
        is_fixed=True,
        silence_s=SILENCE_S,
    )


def _language_tokens(
    whisper: WhisperForConditionalGeneration, states_BPD: torch.Tensor, languages: Sequence[str | None]
) -> list[str]:
    """Return the language token of each clip, detected where no language is given."""
    if not whisper.generation_config.is_multilingual:
        return ["<|en|>"] * len(languages)
    return complete_languages(whisper, states_BPD, languages)


def _settings(whisper: WhisperForConditionalGeneration, language_tokens: list[str], *, task: str) -> dict[str, Any]:
    """Return the arguments of `generate` for language and task."""
    return {"task": task, "language": language_tokens} if whisper.generation_config.is_multilingual else {}


def _decode(
    whisper: WhisperForConditionalGeneration,
    states_BPD: torch.Tensor,
    prompts_BU: torch.Tensor,
    language_tokens: list[str],
    *,
    task: str,
    options: DecodeOptions,
    temperature: float = 0.0,
) -> tuple[list[list[int]], FirstStep]:
    """Return the tokens of each row without the prompt, and the decoder's predictions at its first step.

    At temperatures above 0 tokens are sampled.
    """
    if options.num_beams == 1 and supports_greedy_loop(whisper.generation_config):
        return decode_with_first_step(
            whisper, states_BPD, prompts_BU, max_length=options.max_length, temperature=temperature
        )
    tokens = _generate(
        whisper,
        states_BPD,
        max_length=options.max_length,
        num_beams=options.num_beams,
        temperature=temperature,
        **_settings(whisper, language_tokens, task=task),
    )
    hidden_BUD = whisper.model.decoder(prompts_BU, encoder_hidden_states=states_BPD, use_cache=False).last_hidden_state
    return tokens, first_step(whisper, hidden_BUD)


def _generate(whisper: WhisperForConditionalGeneration, states_BPD: torch.Tensor, **settings: Any) -> list[list[int]]:
    """Decode with transformers' generate, without timestamps; return the text's tokens."""
    tokens_BU = whisper.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=states_BPD),
        return_timestamps=False,
        return_dict_in_generate=False,
        # otherwise two consecutive timestamps, which some models write even here, make it seek back and decode again
        force_unique_generate_call=True,
        **settings,
    )
    end = whisper.generation_config.eos_token_id
    num_prompt = 4 if whisper.generation_config.is_multilingual else 2
    written: list[list[int]] = tokens_BU[:, num_prompt:].tolist()
    return [row[: row.index(end)] if end in row else row for row in written]


def _resample(
    whisper: WhisperForConditionalGeneration,
    tokenizer: WhisperTokenizer,
    states_BPD: torch.Tensor,
    prompts_BU: torch.Tensor,
    language_tokens: list[str],
    texts: list[str],
    *,
    task: str,
    options: DecodeOptions,
) -> None:
    """Replace repetitive texts by ones sampled at rising temperatures, with a fixed seed."""
    sampling = replace(options, num_beams=1, max_length=min(options.max_length, MAX_SAMPLED_TOKENS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for temperature in LONG_FORM["temperature"][1:]:
            rows = [row for row, text in enumerate(texts) if repeats_itself(text)]
            if not rows:
                return
            tokens, _ = _decode(
                whisper,
                states_BPD[rows],
                prompts_BU[rows],
                [language_tokens[row] for row in rows],
                task=task,
                options=sampling,
                temperature=temperature,
            )
            for row, text in zip(rows, tokenizer.batch_decode(tokens, skip_special_tokens=True), strict=True):
                texts[row] = text.strip()


def transcribe_recording(
    network: Network,
    log_mel: LogMel,
    tokenizer: WhisperTokenizer,
    waveform: Waveform,
    *,
    language: str | None,
    task: str,
) -> list[Segment]:
    """Decode a recording window by window with timestamps, as transformers' long-form generation does.

    Segments without speech are left out.
    """

    def has_speech(first_s: float, last_s: float) -> bool:
        part = waveform[round(first_s * SAMPLE_RATE_HZ) : round(last_s * SAMPLE_RATE_HZ)]
        options = DecodeOptions()
        return len(part) > 0 and any(
            transcribe_clips(network, log_mel, tokenizer, [part], [language], task=task, options=options)
        )

    device = next(network.parameters()).device
    duration_s = len(waveform) / SAMPLE_RATE_HZ
    features_BMT = log_mel(torch.from_numpy(waveform)[None].to(device)).to(_dtype(network))
    is_long = features_BMT.shape[2] > network.config.max_source_positions * 2
    if bool(is_constant(features_BMT)) or not (is_long or has_speech(0.0, duration_s)):
        return []
    settings: dict[str, Any] = {"task": task, "language": language} if network.generation_config.is_multilingual else {}
    if is_long:
        num_frames = features_BMT.shape[2]
        settings |= LONG_FORM | {"attention_mask": torch.ones(1, num_frames, dtype=torch.long, device=device)}
    # windows decoded again at a higher temperature are sampled: fixed seed, so that results repeat
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = network.generate(features_BMT, return_timestamps=True, return_segments=True, **settings)
    segments = [
        Segment(
            start_s=round(min(float(segment["start"]), duration_s), 2),
            end_s=round(min(float(segment["end"]), duration_s), 2),
            text=tokenizer.decode(segment["tokens"], skip_special_tokens=True).strip(),
        )
        for segment in found["segments"][0]
    ]
    segments = [segment for segment in segments if segment.text]
    if not is_long:
        return segments
    return [
        segment
        for segment in segments
        if _is_loud(segment, features_BMT[0]) or has_speech(segment.start_s, segment.end_s)
    ]


def _is_loud(segment: Segment, features_MT: torch.Tensor) -> bool:
    """Return whether a segment is about as loud as the recording; quieter ones are checked for speech.

    In long recordings a model is confident of words that it hallucinates in pauses, so thresholds do not catch them.
    """
    first, last = (round(seconds * FRAMES_PER_S) for seconds in (segment.start_s, segment.end_s))
    return loudness_below(features_MT, first, last) < QUIET


def _dtype(network: Network) -> torch.dtype:
    dtype: torch.dtype = next(network.parameters()).dtype
    return dtype
