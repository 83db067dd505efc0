"""The speech and the model of a benchmark: given ones, or made-up ones for machines that have none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import (
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.families.whisper.openai import generation_config, network_config
from eartune.families.whisper.tokenizer import build_tokenizer
from eartune.manifest import Utterance, read_manifest

LONGEST_S = 30.0
MADE_UP_CLIP_S = 5.0
# about as many words as are spoken in 5 s
MADE_UP_WORDS = 13
WORDS = ("wind", "turbine", "blade", "oil", "pump", "valve", "gear", "night", "shift", "is", "at", "the", "and")


@dataclass(frozen=True)
class Sizes:
    """Those of one of OpenAI's models."""

    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    num_mel_bins: int = 80
    num_languages: int = 99


MINIATURE = "miniature"
SIZES = {
    MINIATURE: Sizes(64, 2, 2, 2),
    "whisper-tiny": Sizes(384, 4, 4, 6),
    "whisper-base": Sizes(512, 6, 6, 8),
    "whisper-small": Sizes(768, 12, 12, 12),
    "whisper-medium": Sizes(1024, 24, 24, 16),
    "whisper-large-v3": Sizes(1280, 32, 32, 20, num_mel_bins=128, num_languages=100),
    "whisper-large-v3-turbo": Sizes(1280, 32, 4, 20, num_mel_bins=128, num_languages=100),
}


def write_random_model(folder: Path, name: str) -> Path:
    """Write a model of the sizes `name` with random weights, as Hugging Face folders are."""
    sizes = SIZES[name]
    tokenizer = build_tokenizer(multilingual=True, num_languages=sizes.num_languages)
    state, heads = sizes.width, sizes.heads
    dimensions = {
        "n_mels": sizes.num_mel_bins, "n_vocab": len(tokenizer),
        "n_audio_ctx": 1500, "n_audio_state": state, "n_audio_head": heads, "n_audio_layer": sizes.encoder_layers,
        "n_text_ctx": 448, "n_text_state": state, "n_text_head": heads, "n_text_layer": sizes.decoder_layers,
    }  # fmt: skip
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(network_config(dimensions, tokenizer))
    network.generation_config = generation_config(tokenizer, multilingual=True)
    network.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=sizes.num_mel_bins), tokenizer).save_pretrained(folder)
    return folder


def write_made_up_speech(folder: Path, count: int, *, seed: int) -> list[Utterance]:
    """Write clips of noise, with words that nobody says in them."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        path = folder / f"{number}.wav"
        samples = 0.1 * generator.standard_normal(round(MADE_UP_CLIP_S * SAMPLE_RATE_HZ))
        soundfile.write(path, samples.astype(np.float32), SAMPLE_RATE_HZ)
        text = " ".join(generator.choice(WORDS, MADE_UP_WORDS))
        found.append(Utterance(path.resolve(), text, MADE_UP_CLIP_S, language="en"))
    return found


def read_speech(manifest: Path, count: int) -> list[Utterance]:
    """Return the first clips of a manifest that Whisper can take in one window."""
    return [u for u in read_manifest([manifest]).utterances if u.duration_s <= LONGEST_S][:count]


def deal_evenly(utterances: Sequence[Utterance], clips_per_step: int) -> list[Utterance]:
    """Order utterances so that each `clips_per_step` in a row hold about equal audio; what fills no step is left out.

    They are dealt like cards, longest first, forwards and backwards in turn.
    """
    num_steps = len(utterances) // clips_per_step
    if num_steps == 0:
        raise InputError(
            f"{len(utterances)} clips to train on, and a step takes {clips_per_step}; lower --clips-per-step"
        )
    longest_first = sorted(utterances[: num_steps * clips_per_step], key=lambda u: -u.duration_s)
    steps: list[list[Utterance]] = [[] for _ in range(num_steps)]
    for number, utterance in enumerate(longest_first):
        turn, place = divmod(number, num_steps)
        steps[place if turn % 2 == 0 else num_steps - 1 - place].append(utterance)
    return [utterance for step in steps for utterance in step]


def write_manifest(path: Path, utterances: Sequence[Utterance]) -> Path:
    """Write NeMo's JSON lines with absolute paths, which any script can read."""
    rows = [
        {
            "audio_filepath": str(utterance.audio),
            "offset": utterance.offset_s,
            "duration": utterance.duration_s,
            "text": utterance.text,
            "lang": utterance.language,
        }
        for utterance in utterances
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def count_tokens(model: Path, texts: Sequence[str]) -> list[int]:
    """Return how many tokens the decoder reads for each text: prompt and text, all but the end."""
    tokenizer = WhisperTokenizer.from_pretrained(model, language="en", task="transcribe")
    return [len(tokens) - 1 for tokens in tokenizer(list(texts)).input_ids]
