"""What model cards say of running an export runs, as it stands there."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from eartune.export.usage import usages
from eartune.families.registry import exports_of, family
from eartune.verbs.open_model import locate, open_located

pytestmark = pytest.mark.runtimes
FORMATS = {
    "whisper": ["ggml", "ctranslate2", "openai", "onnx", "hf"],
    "ctc": ["onnx", "hf"],
    "rnnt": ["onnx"],
    "tdt": ["onnx", "hf"],
    "canary": ["onnx", "hf"],
    "layer": ["onnx", "hf"],
    "bert": ["onnx", "hf"],
}
NEED_FFMPEG = ("openai", "hf")
CASES = [(kind, form) for kind, forms in FORMATS.items() for form in forms]


@pytest.mark.parametrize(("kind", "form"), CASES)
def test_every_snippet_of_a_card_runs(
    kind: str,
    form: str,
    real_tiny_en: Path,
    tiny_nemo: dict[str, Path],
    tiny_wav2vec2: dict[str, Path],
    tmp_path: Path,
) -> None:
    if form in NEED_FFMPEG and shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed here, with which openai-whisper and transformers read files")
    model = {"whisper": real_tiny_en, **tiny_nemo, **tiny_wav2vec2}[kind]
    located = locate(str(model))
    assert family(located.family)
    exporter = exports_of(located.family).formats[form]
    quantization = exporter.declared.quantizations[0]
    name = (exporter.declared.file_name or "").format(quantization=quantization)
    folder = tmp_path / "FOLDER"
    folder.mkdir()
    exporter.write(open_located(located), folder / name, quantization, None)
    found = usages(located.family, form, exported=folder / name, file=name or "FOLDER", language="en")
    assert found
    place = folder if name else tmp_path
    samples = 0.1 * np.random.default_rng(0).standard_normal(32_000)
    soundfile.write(place / "recording.wav", samples.astype("float32"), 16_000)
    for usage in found:
        if usage.syntax == "python":
            done = subprocess.run(
                [sys.executable, "-c", usage.text], cwd=place, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{usage.program}\n{usage.text}\n{done.stderr}"
        else:
            assert name in usage.text
