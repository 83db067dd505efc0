"""Hugging Face folders in transformers: its processor, network and decoding, with the times of words.

S samples of 16 kHz mono, P positions.
"""

from __future__ import annotations

import torch

from eartune.audio import SAMPLE_RATE_HZ
from eartune.families.wav2vec2 import MAX_DURATION_S
from eartune.families.wav2vec2.network import samples_per_position
from eartune.long_form import WORD
from eartune.model import Waveform
from eartune.runtimes.runtime import LongTranscript
from eartune.runtimes.segments import TimedTokens, long_transcript
from eartune.runtimes.torch_threads import torch_threads
from eartune.runtimes.transformers_folder import TransformersCTC


class HfFolder(TransformersCTC):
    """A folder; the language is ignored."""

    max_duration_s = MAX_DURATION_S

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:  # noqa: ARG002  CTC has no languages
        return self._transcribe(waveform_S).text

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:  # noqa: ARG002
        return long_transcript(self._transcribe, waveform_S, position_s=self._position_s)

    @property
    def _position_s(self) -> float:
        return samples_per_position(self._model) / SAMPLE_RATE_HZ

    def _without_special(self, text: str) -> str:
        for token in self._processor.tokenizer.all_special_tokens:
            text = text.replace(token, "")
        return " ".join(text.split())

    def _transcribe(self, waveform_S: Waveform) -> TimedTokens:
        inputs = self._moved(self._processor(waveform_S, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt"))
        with torch_threads(self._num_threads), torch.no_grad():
            tokens_P = self._model(**inputs).logits[0].argmax(dim=-1)
        # skip_special_tokens would skip the blank too, which parts equal characters
        found = self._processor.tokenizer.decode(tokens_P, output_word_offsets=True)
        words = [word for word in found.word_offsets if self._without_special(word["word"])]
        return TimedTokens(
            self._without_special(found.text),
            [WORD[0] + self._without_special(word["word"]) for word in words],
            [word["start_offset"] * self._position_s for word in words],
            [(word["end_offset"] - word["start_offset"]) * self._position_s for word in words],
        )
