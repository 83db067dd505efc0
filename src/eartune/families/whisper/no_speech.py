"""Detection of clips without speech, and of repetitive texts.

openai-whisper (transcribe.py) leaves out a window where the probability of <|nospeech|> is above 0.6 and the mean
log-probability of its text, decoded with timestamps, is below -1.0. Clips are decoded without timestamps here, where a
model is more confident of hallucinations: for 5 s of zeros whisper-tiny returns "you" with -0.4 a token. So there are
further pairs of thresholds, with a higher probability of <|nospeech|> and a higher log-probability.

B batch, M mel bins, T frames, P positions, D model width.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from transformers import WhisperForConditionalGeneration

from eartune.families.whisper.features import HOP_SAMPLES, LogMel
from eartune.families.whisper.greedy import FirstStep, average_logprob, first_step
from eartune.model import Waveform, pad_waveforms

# the probability of <|nospeech|> is above the first, and the mean log-probability below the second
THRESHOLDS = ((0.6, -1.0), (0.8, -0.6), (0.9, -0.3))
COMPRESSION_RATIO_THRESHOLD = 2.4
# above this probability openai-whisper's window is checked too: for noise whisper-tiny gives 0.39 and more
CHECK_ABOVE = 0.2
# features are log10 energies divided by 4, 80 dB at most
TEN_DB = 0.25


def is_constant(features_BMT: torch.Tensor) -> torch.Tensor:
    """Return [B] whether features are constant, such as those of zeros, so that there is nothing to transcribe."""
    flat = features_BMT.flatten(1)
    return flat.amax(dim=1) == flat.amin(dim=1)


def loudness_below(features_MT: torch.Tensor, first: int, last: int) -> float:
    """Return by how much (TEN_DB for 10 dB) the loudest of some frames lies below the loudest of all."""
    part = features_MT[:, first : max(last, first + 1)]
    return float(features_MT.amax() - part.amax()) if part.numel() else 8 * TEN_DB


@torch.no_grad()
def without_speech(
    whisper: WhisperForConditionalGeneration,
    log_mel: LogMel,
    waveforms: Sequence[Waveform],
    states_BPD: torch.Tensor,
    prompts_BU: torch.Tensor,
    tokens: Sequence[Sequence[int]],
    first: FirstStep,
) -> list[bool]:
    """Return for each decoded clip whether it is without speech.

    The probability of <|nospeech|> is the higher of those in the clip's own window and in openai-whisper's. A model
    that would end at the first step, if that were not suppressed, was trained to write nothing where nobody speaks.
    """
    probabilities = first.no_speech_B.tolist()
    silent = [False] * len(tokens)
    for row in (row for row, probability in enumerate(probabilities) if probability > CHECK_ABOVE):
        probability = max(
            probabilities[row],
            _probability_in_openai_window(whisper, log_mel, waveforms[row], prompts_BU[row : row + 1]),
        )
        if bool(first.ends_B[row]):
            silent[row] = probability > THRESHOLDS[0][0]
        elif probability > THRESHOLDS[0][0]:
            logprob = average_logprob(whisper, states_BPD[row : row + 1], prompts_BU[row].tolist(), tokens[row])
            silent[row] = any(probability > least and logprob < most for least, most in THRESHOLDS)
    return silent


def _probability_in_openai_window(
    whisper: WhisperForConditionalGeneration, log_mel: LogMel, waveform: Waveform, prompt_BU: torch.Tensor
) -> float:
    """Return the probability of <|nospeech|> in openai-whisper's window, which pads the features with zeros.

    Zeros are far above the value of silence; next to them the model separates noise from speech better.
    """
    weight = next(whisper.parameters())
    features_BMT = log_mel(pad_waveforms([waveform]).to(weight.device))
    features_BMT[:, :, max(1, len(waveform) // HOP_SAMPLES) :] = 0.0
    states_BPD = whisper.model.encoder(features_BMT.to(weight.dtype)).last_hidden_state
    hidden_BUD = whisper.model.decoder(prompt_BU, encoder_hidden_states=states_BPD, use_cache=False).last_hidden_state
    return float(first_step(whisper, hidden_BUD).no_speech_B)


def repeats_itself(text: str) -> bool:
    """Return whether a text repeats itself: it compresses too well (compression_ratio in openai/whisper utils.py)."""
    encoded = text.encode()
    return bool(encoded) and len(encoded) / len(zlib.compress(encoded)) > COMPRESSION_RATIO_THRESHOLD
