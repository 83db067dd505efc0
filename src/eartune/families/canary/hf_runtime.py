"""Hugging Face folders of Canary in transformers, with transformers' own decoding.

S samples of 16 kHz mono, B batch (1 here), U tokens, V vocabulary.
"""

from __future__ import annotations

from eartune.errors import InputError
from eartune.families._nemo.formats import MAX_DURATION_S
from eartune.model import Waveform
from eartune.runtimes.torch_threads import torch_threads
from eartune.runtimes.transformers_folder import TransformersFolder

# values that NeMo's prompts take as true
YES = ("yes", "1", "True", "true", "pnc", "<|pnc|>")


class TransformersCanary(TransformersFolder):
    """A Canary's folder; it requires the language, and translates into English."""

    max_duration_s = MAX_DURATION_S

    loader = "AutoModelForSpeechSeq2Seq"

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        if language is None:
            raise InputError("no language is named, and Canary detects none; add a language to the clip")
        defaults = getattr(self._model.config, "prompt_defaults", {})
        try:
            inputs = self._processor.apply_transcription_request(
                waveform_S,
                source_language=language,
                target_language="en" if self._task == "translate" else language,
                # the model's own default, if it has one
                punctuation=defaults.get("pnc", "yes") in YES,
            )
        except ValueError as error:
            raise InputError(f"language {language!r}: {str(error).splitlines()[0][:200]}") from None
        prompt_length = inputs["decoder_input_ids"].shape[1]
        with torch_threads(self._num_threads):
            tokens_BU = self._model.generate(**self._moved(inputs))
        return str(self._processor.decode(tokens_BU[0, prompt_length:], skip_special_tokens=True)).strip()
