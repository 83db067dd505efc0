"""Whisper's decoding: batches of clips that fit into 30 s, and recordings of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer
from transformers.modeling_outputs import BaseModelOutput

from eartune.audio import SAMPLE_RATE_HZ
from eartune.families.whisper.features import WINDOW_S, LogMel
from eartune.families.whisper.greedy import complete_languages, decode, is_plain, prompts
from eartune.families.whisper.loss import whisper_of
from eartune.manifest import Segment
from eartune.speech_model import DecodeOptions, Network, Waveform, WindowKind, pad_waveforms
from eartune.training.batching.windows import widened_s

# Whisper's own thresholds for trying a window again at a higher temperature (openai/whisper transcribe.py);
# the compression ratio is that of transformers, which measures tokens instead of bytes.
LONG_FORM: dict[str, Any] = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "condition_on_prev_tokens": False,
}

# A short window is the longest clip and this much silence, which Whisper needs to find an end (64 positions),
# in steps, so that there are few different lengths.
SILENCE_S = 1.28
WINDOW_STEP_S = 0.32


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

    A clip whose language is None has it detected where the model knows several.
    """
    whisper = whisper_of(network)
    device = next(whisper.parameters()).device
    longest_s = max(len(waveform) for waveform in waveforms) / SAMPLE_RATE_HZ
    features_BMT = log_mel(pad_waveforms(waveforms).to(device), window_s(longest_s, options.window))
    with torch.no_grad():
        states_BPD = whisper.model.encoder(features_BMT.to(_dtype(whisper))).last_hidden_state
        tokens = _decode(whisper, states_BPD, languages, task=task, options=options)
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def window_s(longest_s: float, window: WindowKind) -> float:
    """Return how much of a batch the encoder sees: 30 s, or the longest clip and a little silence."""
    if window == "padded":
        return WINDOW_S
    return widened_s(longest_s + SILENCE_S, step_s=WINDOW_STEP_S, most_s=WINDOW_S)


def _decode(
    whisper: WhisperForConditionalGeneration,
    states_BPD: torch.Tensor,
    languages: Sequence[str | None],
    *,
    task: str,
    options: DecodeOptions,
) -> list[list[int]]:
    multilingual = whisper.generation_config.is_multilingual
    spoken = complete_languages(whisper, states_BPD, languages) if multilingual else ["<|en|>"] * len(languages)
    if options.num_beams == 1 and is_plain(whisper.generation_config):
        prompts_BU = torch.tensor(prompts(whisper, spoken, task=task), device=states_BPD.device)
        return decode(whisper, states_BPD, prompts_BU, max_length=options.max_length)
    settings: dict[str, Any] = {"task": task, "language": spoken} if multilingual else {}
    tokens_BU = whisper.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=states_BPD),
        max_length=options.max_length,
        num_beams=options.num_beams,
        return_timestamps=False,
        # otherwise two timestamps in a row, from a model that writes them unasked, make it go back and start again
        force_unique_generate_call=True,
        **settings,
    )
    found: list[list[int]] = tokens_BU.tolist()
    return found


def transcribe_recording(
    network: Network,
    log_mel: LogMel,
    tokenizer: WhisperTokenizer,
    waveform: Waveform,
    *,
    language: str | None,
    task: str,
) -> list[Segment]:
    """Decode a recording window by window with timestamps, as transformers' long-form generation does."""
    device = next(network.parameters()).device
    features_BMT = log_mel(torch.from_numpy(waveform)[None].to(device)).to(_dtype(network))
    settings: dict[str, Any] = {"task": task, "language": language} if network.generation_config.is_multilingual else {}
    if features_BMT.shape[2] > network.config.max_source_positions * 2:
        num_frames = features_BMT.shape[2]
        settings |= LONG_FORM | {"attention_mask": torch.ones(1, num_frames, dtype=torch.long, device=device)}
    # a window that is decoded again draws its words: the same ones each time
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = network.generate(features_BMT, return_timestamps=True, return_segments=True, **settings)
    duration_s = len(waveform) / SAMPLE_RATE_HZ
    segments = [
        Segment(
            start_s=round(min(float(segment["start"]), duration_s), 2),
            end_s=round(min(float(segment["end"]), duration_s), 2),
            text=tokenizer.decode(segment["tokens"], skip_special_tokens=True).strip(),
        )
        for segment in found["segments"][0]
    ]
    return [segment for segment in segments if segment.text]


def _dtype(network: Network) -> torch.dtype:
    dtype: torch.dtype = next(network.parameters()).dtype
    return dtype
