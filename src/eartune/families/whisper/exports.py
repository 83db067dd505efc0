"""Export formats of Whisper, and the logits that exports are compared by.

S samples of 16 kHz mono, B batch, P positions of 20 ms, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eartune.export.exporter import save_folder
from eartune.families.whisper.ctranslate2 import write_ctranslate2
from eartune.families.whisper.ggml import write_ggml
from eartune.families.whisper.greedy import complete_languages, prompts
from eartune.families.whisper.loss import whisper_of
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai_export import write_openai
from eartune.model import SpeechModel, Waveform


def _ggml(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> None:
    write_ggml(_whisper(model), out, kind=quantization)


def _ctranslate2(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> None:
    write_ctranslate2(_whisper(model), out, quantization=quantization)


def _openai(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> None:
    write_openai(_whisper(model), out, dtype=quantization)


def _onnx(model: SpeechModel, out: Path, quantization: Any, _: Path | None) -> float | None:
    # torch's exporter takes a second to import
    from eartune.families.whisper.onnx import write_onnx  # noqa: PLC0415

    return write_onnx(_whisper(model), out, quantization=quantization)


@torch.no_grad()
def first_token_logits(model: SpeechModel, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
    """Return the logits [V] of the first text token, no token suppressed, after the prompt without timestamps.

    The clip is padded to 30 s. Raises InputError for a language that a multilingual model does not have.
    """
    model = _whisper(model)
    whisper = whisper_of(model.network)
    weight = next(whisper.parameters())
    waveforms_BS = torch.from_numpy(np.ascontiguousarray(waveform_S))[None].to(weight.device)
    inputs = model.features(waveforms_BS, torch.tensor([waveforms_BS.shape[1]], device=weight.device))
    states_BPD = model.encode({name: values.to(weight.dtype) for name, values in inputs.items()})
    multilingual = whisper.generation_config.is_multilingual
    language_tokens = (
        complete_languages(whisper, states_BPD, [model.labeler.token_code(language)]) if multilingual else ["<|en|>"]
    )
    prompts_BU = torch.tensor(prompts(whisper, language_tokens, task=model.task), device=weight.device)
    hidden_BUD = whisper.model.decoder(prompts_BU, encoder_hidden_states=states_BPD, use_cache=False).last_hidden_state
    logits_BV: torch.Tensor = whisper.proj_out(hidden_BUD[:, -1]).float()
    found_V: npt.NDArray[np.float32] = logits_BV[0].cpu().numpy()
    return found_V


def language_code(model: SpeechModel, language: str | None) -> str | None:
    """Return a language's code in other programs."""
    return _whisper(model).labeler.token_code(language)


def _whisper(model: SpeechModel) -> WhisperModel:
    assert isinstance(model, WhisperModel)
    return model


WRITERS = {"ggml": _ggml, "ctranslate2": _ctranslate2, "onnx": _onnx, "openai": _openai, "hf": save_folder}
