"""Tiny random models in OpenAI's own format, written by openai-whisper itself, and tiny speech to go with them."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
import torch
import whisper

from eartune.manifest import Utterance

ENGLISH_VOCABULARY = 51864
MULTILINGUAL_VOCABULARY = 51865
LARGE_V3_VOCABULARY = 51866
TEXTS = ("the pump is running", "close the second valve", "report to the night shift", "check the oil", "it is cold")


def write_openai_checkpoint(path: Path, *, num_vocabulary: int = MULTILINGUAL_VOCABULARY, num_mels: int = 80) -> Path:
    """Write a random checkpoint of two small layers as OpenAI writes theirs."""
    torch.manual_seed(0)
    sizes = whisper.model.ModelDimensions(
        n_mels=num_mels,
        n_audio_ctx=1500,
        n_audio_state=32,
        n_audio_head=2,
        n_audio_layer=2,
        n_vocab=num_vocabulary,
        n_text_ctx=448,
        n_text_state=32,
        n_text_head=2,
        n_text_layer=2,
    )
    network = whisper.model.Whisper(sizes)
    for name, parameter in network.named_parameters():
        if name.endswith("positional_embedding") or parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    torch.save({"dims": asdict(sizes), "model_state_dict": network.half().state_dict()}, path)
    return path


def write_speech(folder: Path, *, count: int = 6, duration_s: float = 1.0, language: str | None = "en") -> Path:
    """Write clips of noise with texts and their NeMo manifest; return the manifest."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows = []
    for number in range(count):
        seconds = duration_s + 0.1 * number
        samples = 0.1 * generator.standard_normal(round(16_000 * seconds))
        soundfile.write(folder / "audio" / f"{number}.wav", samples.astype("float32"), 16_000)
        row = {
            "audio_filepath": f"audio/{number}.wav",
            "duration": round(seconds, 3),
            "text": TEXTS[number % len(TEXTS)],
        }
        rows.append(row | ({"lang": language} if language else {}))
    manifest = folder / "speech.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return manifest


def clips_in(*languages: str | None) -> list[Utterance]:
    """Utterances of which only the language is known, for waveforms that come from elsewhere."""
    return [Utterance(audio=Path("clip.wav"), text="", duration_s=1.0, language=language) for language in languages]
