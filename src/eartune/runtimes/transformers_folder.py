"""Hugging Face folders in transformers, each family as in its documentation, with transformers' own decoding.

S samples of 16 kHz mono, B batch (1 here), U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from eartune.audio import SAMPLE_RATE_HZ
from eartune.base_model import model_type
from eartune.errors import InputError
from eartune.languages import LANGUAGE_TAG, prompt_name
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.runtime import (
    MAX_TOKENS,
    NEMO_WINDOW_S,
    WINDOW_S,
    LongTranscript,
    RuntimeBase,
    Task,
    opening,
    padded,
    supported_language,
    supported_task,
)
from eartune.runtimes.torch_threads import torch_threads
from eartune.weights import network_weights, require_finite

# Whisper's own temperatures and thresholds; a compression ratio of tokens, as in transformers' documentation
FALLBACK: dict[str, Any] = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "condition_on_prev_tokens": False,
}
# values that NeMo's prompts take as true
YES = ("yes", "1", "True", "true", "pnc", "<|pnc|>")


class _Folder(RuntimeBase):
    """A folder opened with transformers in its own precision, on a CPU with `num_threads` or on a CUDA device."""

    # the class of transformers that loads the weights
    loader: str

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        with opening(folder, package="transformers", extra="transformers>=5.23", program="transformers"):
            self._processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
            loader = getattr(transformers, self.loader)
            self._model = loader.from_pretrained(folder, local_files_only=True, dtype="auto").to(device).eval()
        require_finite(network_weights(self._model), where=str(folder))
        self._task, self._num_threads, self._device = task, num_threads, device

    def _moved(self, inputs: Any) -> Any:
        return inputs.to(self._device, self._model.dtype)


class TransformersWhisper(_Folder):
    """A Whisper's folder."""

    loader = "AutoModelForSpeechSeq2Seq"

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        super().__init__(folder, device=device, num_threads=num_threads, task=task)
        self._multilingual = bool(self._model.generation_config.is_multilingual)
        supported_task(task, multilingual=self._multilingual)

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        tokens_BU = self._generate(self._features(padded(waveform_S)), language, max_new_tokens=MAX_TOKENS)
        return str(self._processor.batch_decode(tokens_BU, skip_special_tokens=True)[0]).strip()

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        is_long = len(waveform_S) > WINDOW_S * SAMPLE_RATE_HZ
        inputs = (
            self._features(waveform_S, truncation=False, padding="longest", return_attention_mask=True)
            if is_long
            else self._features(waveform_S)
        )
        # windows decoded again are sampled at random: with a seed, reproducibly
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found = self._generate(
                inputs, language, return_timestamps=True, return_segments=True, **(FALLBACK if is_long else {})
            )
        segments = [
            Segment(
                round(float(each["start"]), 2),
                round(float(each["end"]), 2),
                self._processor.decode(each["tokens"], skip_special_tokens=True).strip(),
            )
            for each in found["segments"][0]
        ]
        # transformers does not return the temperature at which it decoded a window
        return LongTranscript(tuple(segments), None)

    @torch.no_grad()
    def first_token_logits(self, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
        inputs, settings = self._features(padded(waveform_S)), self._model.generation_config
        prompt = [settings.decoder_start_token_id]
        with torch_threads(self._num_threads):
            if self._multilingual:
                code = self._supported(language)
                token = (
                    int(self._model.detect_language(**inputs)[0])
                    if code is None
                    else settings.lang_to_id[f"<|{code}|>"]
                )
                prompt += [token, settings.task_to_id[self._task]]
            prompt_BU = torch.tensor([[*prompt, settings.no_timestamps_token_id]], device=self._device)
            logits_BUV = self._model(**inputs, decoder_input_ids=prompt_BU).logits
        found_V: npt.NDArray[np.float32] = logits_BUV[0, -1].float().cpu().numpy()
        return found_V

    def _features(self, waveform_S: Waveform, **settings: Any) -> Any:
        return self._moved(self._processor(waveform_S, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **settings))

    def _generate(self, inputs: Any, language: str | None, **settings: Any) -> Any:
        code = self._supported(language)
        prompt = {"language": code, "task": self._task} if self._multilingual else {}
        with torch_threads(self._num_threads):
            return self._model.generate(**inputs, **prompt, **settings)

    def _supported(self, language: str | None) -> str | None:
        names = self._model.generation_config.lang_to_id if self._multilingual else {}
        return supported_language(
            language,
            known=[name.strip("<|>") for name in names],
            multilingual=self._multilingual,
            stand_ins=self.stand_ins,
        )


class TransformersCanary(_Folder):
    """A Canary's folder; it requires the language, and translates into English."""

    max_duration_s = NEMO_WINDOW_S

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


class TransformersCTC(_Folder):
    """A Parakeet CTC's folder; the language is ignored."""

    max_duration_s = NEMO_WINDOW_S

    loader = "AutoModelForCTC"

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        super().__init__(folder, device=device, num_threads=num_threads, task=task)
        if task != "transcribe":
            raise InputError(f"task {task!r}: Parakeet only transcribes; leave it at transcribe")

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        return str(self._decoded(self._generate(waveform_S, language))[0]).strip()

    def _language_inputs(self, language: str | None) -> dict[str, str]:  # noqa: ARG002  most have none
        """Return the processor's inputs for the language of a clip."""
        return {}

    def _generate(self, waveform_S: Waveform, language: str | None) -> Any:
        language_inputs = self._language_inputs(language)
        inputs = self._moved(self._processor(waveform_S, sampling_rate=SAMPLE_RATE_HZ, **language_inputs))
        with torch_threads(self._num_threads):
            return self._model.generate(**inputs, return_dict_in_generate=True)

    def _decoded(self, found: Any, **settings: Any) -> Any:
        return self._processor.decode(found.sequences, skip_special_tokens=True, **settings)


class TransformersRNNT(TransformersCTC):
    """A Parakeet RNN-T's folder; a segment is a word."""

    loader = "AutoModelForRNNT"

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:
        found = self._generate(waveform_S, language)
        _, (times,) = self._decoded(found, durations=found.durations)
        words: list[Segment] = []
        for each in times:
            start_s, end_s, text = round(each["start"], 2), round(each["end"], 2), str(each["token"])
            if self._is_tag(text):
                continue
            if words and not text.startswith(" "):
                words[-1] = Segment(words[-1].start_s, end_s, words[-1].text + text)
            else:
                words.append(Segment(start_s, end_s, text.strip()))
        return LongTranscript(tuple(words), None)

    def _is_tag(self, text: str) -> bool:  # noqa: ARG002  most write none
        """Return whether a text is a language tag and not a word."""
        return False


class TransformersNemotron(TransformersRNNT):
    """The folder of a Nemotron with a language prompt, or detection, that writes the language tag after the text."""

    knows_regions = True

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        return LANGUAGE_TAG.sub("", super().transcribe(waveform_S, language)).strip()

    def _language_inputs(self, language: str | None) -> dict[str, str]:
        return {"language": prompt_name(language, self._processor.prompt_dictionary)}

    def _is_tag(self, text: str) -> bool:
        return bool(LANGUAGE_TAG.fullmatch(text))


class TransformersTDT(TransformersRNNT):
    """A Parakeet TDT's folder."""

    loader = "AutoModelForTDT"


BY_MODEL_TYPE: dict[str, type[TransformersWhisper | TransformersCanary | TransformersCTC]] = {
    "whisper": TransformersWhisper,
    "canary": TransformersCanary,
    "parakeet_ctc": TransformersCTC,
    "parakeet_rnnt": TransformersRNNT,
    "parakeet_tdt": TransformersTDT,
    "nemotron_asr_streaming": TransformersRNNT,
    "nemotron3_5_asr": TransformersNemotron,
}


def open_folder(
    folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe"
) -> TransformersWhisper | TransformersCanary | TransformersCTC:
    """Open a folder as the model type in its config.json. Raises InputError for other types."""
    found = model_type(folder)
    if found not in BY_MODEL_TYPE:
        raise InputError(f"{folder}: is a {found!r} model; supported are only {', '.join(BY_MODEL_TYPE)}")
    return BY_MODEL_TYPE[found](folder, device=device, num_threads=num_threads, task=task)
