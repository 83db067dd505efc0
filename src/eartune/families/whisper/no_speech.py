"""Clips in which nobody speaks, and texts that repeat themselves.

openai-whisper (transcribe.py) leaves out a window where <|nospeech|> is likelier than 0.6 and the mean log-probability
of its text, decoded with timestamps, is below -1.0. Clips are decoded without timestamps here, where a model is surer
of what it makes up: of 5 s of zeros whisper-tiny says "you" with -0.4 a token. So further pairs of thresholds stand
beside openai-whisper's, for a model that is surer that nobody speaks.

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

# the chance of <|nospeech|> is above the first, and the mean log-probability below the second
THRESHOLDS = ((0.6, -1.0), (0.8, -0.6), (0.9, -0.3))
COMPRESSION_RATIO_THRESHOLD = 2.4
# from this chance on openai-whisper's window is looked into as well: in noise whisper-tiny has 0.39 and more
DOUBT = 0.2
# features are log10 energies divided by 4, 80 dB at most
TEN_DB = 0.25


def is_constant(features_BMT: torch.Tensor) -> torch.Tensor:
    """Tell [B] of features without any difference, such as those of zeros: there is nothing in them to write down."""
    flat = features_BMT.flatten(1)
    return flat.amax(dim=1) == flat.amin(dim=1)


def loudness_below(features_MT: torch.Tensor, first: int, last: int) -> float:
    """Return by how much (TEN_DB for 10 dB) the loudest of some frames lies below the loudest of all."""
    stretch = features_MT[:, first : max(last, first + 1)]
    return float(features_MT.amax() - stretch.amax()) if stretch.numel() else 8 * TEN_DB


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
    """Tell of clips that were decoded whether nobody speaks in them.

    The chance of <|nospeech|> is the higher one of the clip's own window and of openai-whisper's. A model that would
    end at once, were it not kept from that, has learnt to write nothing where nobody speaks.
    """
    chances = first.no_speech_B.tolist()
    silent = [False] * len(tokens)
    for row in (row for row, chance in enumerate(chances) if chance > DOUBT):
        chance = max(
            chances[row], _chance_in_openai_window(whisper, log_mel, waveforms[row], prompts_BU[row : row + 1])
        )
        if bool(first.ends_B[row]):
            silent[row] = chance > THRESHOLDS[0][0]
        elif chance > THRESHOLDS[0][0]:
            logprob = average_logprob(whisper, states_BPD[row : row + 1], prompts_BU[row].tolist(), tokens[row])
            silent[row] = any(chance > least and logprob < most for least, most in THRESHOLDS)
    return silent


def _chance_in_openai_window(
    whisper: WhisperForConditionalGeneration, log_mel: LogMel, waveform: Waveform, prompt_BU: torch.Tensor
) -> float:
    """Return the chance of <|nospeech|> in the window of openai-whisper's transcribe, where zeros follow the features.

    They are far louder than silence, and noise is told from speech better beside them.
    """
    weight = next(whisper.parameters())
    features_BMT = log_mel(pad_waveforms([waveform]).to(weight.device))
    features_BMT[:, :, max(1, len(waveform) // HOP_SAMPLES) :] = 0.0
    states_BPD = whisper.model.encoder(features_BMT.to(weight.dtype)).last_hidden_state
    hidden_BUD = whisper.model.decoder(prompt_BU, encoder_hidden_states=states_BPD, use_cache=False).last_hidden_state
    return float(first_step(whisper, hidden_BUD).no_speech_B)


def repeats_itself(text: str) -> bool:
    """Tell whether a text is a loop: it packs better than speech does (openai/whisper utils.py, compression_ratio)."""
    written = text.encode()
    return bool(written) and len(written) / len(zlib.compress(written)) > COMPRESSION_RATIO_THRESHOLD
