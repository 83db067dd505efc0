"""The logits of a clip's first token, which an exported Whisper is compared with number by number.

S samples of 16 kHz mono, B batch, P positions of 20 ms, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from eartune.families.whisper.greedy import complete_languages, prompts
from eartune.families.whisper.loss import whisper_of
from eartune.families.whisper.model import WhisperModel
from eartune.model import Waveform


@torch.no_grad()
def first_logits(model: WhisperModel, waveform_S: Waveform, language: str | None) -> npt.NDArray[np.float32]:
    """Return the logits [V] of the first token of text, no token suppressed, after the model's prompt without times.

    The clip is seen in 30 s. Raises InputError for a language that a multilingual model does not have.
    """
    whisper = whisper_of(model.network)
    weight = next(whisper.parameters())
    waveforms_BS = torch.from_numpy(np.ascontiguousarray(waveform_S))[None].to(weight.device)
    inputs = model.features(waveforms_BS, torch.tensor([waveforms_BS.shape[1]], device=weight.device))
    states_BPD = model.encode({name: values.to(weight.dtype) for name, values in inputs.items()})
    multilingual = whisper.generation_config.is_multilingual
    spoken = (
        complete_languages(whisper, states_BPD, [model.labeler.token_code(language)]) if multilingual else ["<|en|>"]
    )
    prompts_BU = torch.tensor(prompts(whisper, spoken, task=model.task), device=weight.device)
    hidden_BUD = whisper.model.decoder(prompts_BU, encoder_hidden_states=states_BPD, use_cache=False).last_hidden_state
    logits_BV: torch.Tensor = whisper.proj_out(hidden_BUD[:, -1]).float()
    found_V: npt.NDArray[np.float32] = logits_BV[0].cpu().numpy()
    return found_V
