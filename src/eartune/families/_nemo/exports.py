"""Export formats of the NeMo families; NeMo itself, where installed, verifies each .nemo file."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import EartuneError, first_line
from eartune.export.exporter import Writer, save_folder
from eartune.families._nemo.base import NemoModel
from eartune.model import SpeechModel

# largest difference allowed between an encoder's states here and in NeMo
TOLERANCE = 1e-3


def nemo_writers(
    *, write_nemo: Callable[[SpeechModel, Path, Path], None], write_onnx: Callable[[SpeechModel, Path, Any], float]
) -> dict[str, Writer]:
    """Return what writes the formats, given a family's writers of .nemo and ONNX files."""

    def nemo(model: SpeechModel, out: Path, _: str, original: Path | None) -> float | None:
        assert original is not None
        assert isinstance(model, NemoModel)
        write_nemo(model, original, out)
        return certify(out, model)

    def onnx(model: SpeechModel, out: Path, quantization: str, _: Path | None) -> float:
        return write_onnx(model, out, quantization)

    return {"nemo": nemo, "onnx": onnx, "hf": save_folder}


def certify(path: Path, model: NemoModel) -> float | None:
    """Restore a file with NeMo, and return the largest difference of its encoder outputs from the model's.

    None where NeMo is not installed. Raises EartuneError where NeMo cannot restore the file or its outputs differ.
    """
    if importlib.util.find_spec("nemo") is None:
        return None
    # takes seconds to import, and only this check needs it
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    try:
        restored: Any = ASRModel.restore_from(str(path), map_location=torch.device("cpu"))
    except Exception as error:  # whatever NeMo raises, the file is not loadable
        reason = first_line(error)
        raise EartuneError(f"{path}: NeMo cannot restore it: {reason[:200]}") from None
    difference = _difference(restored.eval(), model)
    if not difference <= TOLERANCE:
        raise EartuneError(f"{path}: NeMo's encoder outputs differ by {difference:.2g}, and {TOLERANCE:g} is allowed")
    return difference


@torch.no_grad()
def _difference(restored: Any, model: NemoModel) -> float:
    samples_B = torch.tensor([2 * SAMPLE_RATE_HZ, 3 * SAMPLE_RATE_HZ // 2])
    waveforms_BS = 0.1 * torch.randn(2, int(samples_B.max()), generator=torch.Generator().manual_seed(0))
    waveforms_BS[1, samples_B[1] :] = 0
    features_BMT, frames_B = restored.preprocessor(input_signal=waveforms_BS, length=samples_B)
    theirs_BDP, positions_B = restored.encoder(audio_signal=features_BMT, length=frames_B)
    ours_BPD = model.encode(model.features(waveforms_BS, samples_B))
    rows = zip(ours_BPD, theirs_BDP.transpose(1, 2), positions_B.tolist(), strict=True)
    return max(float((ours_PD[:length] - theirs_PD[:length]).abs().max()) for ours_PD, theirs_PD, length in rows)
