"""Whisper's decoding: batches of clips that fit into 30 s, and recordings of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import WhisperTokenizer

from eartune.audio import SAMPLE_RATE_HZ
from eartune.families.whisper.features import LogMel
from eartune.speech_model import DecodeOptions, Network, Segment, Waveform

# Whisper's own thresholds for trying a window again at a higher temperature (openai/whisper transcribe.py);
# the compression ratio is that of transformers, which measures tokens instead of bytes.
LONG_FORM: dict[str, Any] = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "condition_on_prev_tokens": False,
}


def pad_waveforms(waveforms: Sequence[Waveform]) -> torch.Tensor:
    """Stack waveforms into [B, S], zeros after the shorter ones."""
    padded_BS = torch.zeros(len(waveforms), max(len(waveform) for waveform in waveforms))
    for row_S, waveform in zip(padded_BS, waveforms, strict=True):
        row_S[: len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
    return padded_BS


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
    device = next(network.parameters()).device
    multilingual = network.generation_config.is_multilingual
    texts = [""] * len(waveforms)
    # detection is all or nothing in generate, so clips without a language go apart
    for known in (True, False):
        rows = [row for row, language in enumerate(languages) if (language is not None) == known]
        if not rows:
            continue
        features_BMT = log_mel(pad_waveforms([waveforms[row] for row in rows]).to(device))
        settings: dict[str, Any] = {"task": task} if multilingual else {}
        if multilingual and known:
            settings["language"] = [languages[row] for row in rows]
        tokens_BU = network.generate(
            features_BMT.to(_dtype(network)),
            max_length=options.max_length,
            num_beams=options.num_beams,
            return_timestamps=False,
            **settings,
        )
        for row, text in zip(rows, tokenizer.batch_decode(tokens_BU, skip_special_tokens=True), strict=True):
            texts[row] = text.strip()
    return texts


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
