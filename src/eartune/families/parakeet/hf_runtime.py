"""Hugging Face folders of Parakeet in transformers, with transformers' own decoding.

S samples of 16 kHz mono, B batch (1 here), U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path

from eartune.base_model import model_type
from eartune.errors import InputError
from eartune.families._nemo.formats import MAX_DURATION_S
from eartune.languages import LANGUAGE_TAG, prompt_name
from eartune.manifest import Segment
from eartune.model import Waveform
from eartune.runtimes.runtime import (
    LongTranscript,
    Task,
)
from eartune.runtimes.transformers_folder import TransformersCTC


class ParakeetCTC(TransformersCTC):
    """A Parakeet CTC's folder."""

    max_duration_s = MAX_DURATION_S


class ParakeetRNNT(ParakeetCTC):
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


class Nemotron(ParakeetRNNT):
    """The folder of a Nemotron with a language prompt, or detection, that writes the language tag after the text."""

    knows_regions = True

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:
        return LANGUAGE_TAG.sub("", super().transcribe(waveform_S, language)).strip()

    def _language_inputs(self, language: str | None) -> dict[str, str]:
        return {"language": prompt_name(language, self._processor.prompt_dictionary)}

    def _is_tag(self, text: str) -> bool:
        return bool(LANGUAGE_TAG.fullmatch(text))


class ParakeetTDT(ParakeetRNNT):
    """A Parakeet TDT's folder."""

    loader = "AutoModelForTDT"


BY_MODEL_TYPE: dict[str, type[ParakeetCTC]] = {
    "parakeet_ctc": ParakeetCTC,
    "parakeet_rnnt": ParakeetRNNT,
    "parakeet_tdt": ParakeetTDT,
    "nemotron_asr_streaming": ParakeetRNNT,
    "nemotron3_5_asr": Nemotron,
}


def open_folder(folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> ParakeetCTC:
    """Open a folder as the model type in its config.json. Raises InputError for other types."""
    found = model_type(folder)
    if found not in BY_MODEL_TYPE:
        raise InputError(f"{folder}: is a {found!r} model; supported are only {', '.join(BY_MODEL_TYPE)}")
    return BY_MODEL_TYPE[found](folder, device=device, num_threads=num_threads, task=task)
