"""The numbers of exports in the programs they are for, beside those of transformers' own network."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from eartune.audio import decode
from eartune.errors import InputError
from eartune.families.whisper.ctranslate2 import write_ctranslate2
from eartune.families.whisper.exports import first_token_logits
from eartune.families.whisper.ggml import write_ggml
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai_export import write_openai
from eartune.model import Waveform
from eartune.runtimes.faster_whisper import FasterWhisper
from eartune.runtimes.openai_whisper import OpenAIWhisper
from eartune.runtimes.runtime import ExposesLogits, Runtime
from eartune.runtimes.whisper_cpp import WhisperCpp

pytest.importorskip("faster_whisper")

pytestmark = pytest.mark.runtimes

ENGLISH, RUSSIAN, TRANSCRIBE, TRANSLATE, START = 50259, 50263, 50359, 50358, 50258


class Showing(Runtime, ExposesLogits, Protocol):
    """A runtime that shows its numbers."""


class Case:
    """A model, as eartune has it and as transformers loads it, and a clip."""

    def __init__(self, model: Path, folder: Path, clip: Waveform) -> None:
        self.model: WhisperModel = load(find(str(model)))
        self.model.save(folder)
        self.network = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.clip = clip

    @torch.no_grad()
    def theirs(self, prompt: list[int]) -> np.ndarray:
        """Return transformers' logits after a prompt that is written out."""
        features = WhisperFeatureExtractor()(self.clip, sampling_rate=16_000, return_tensors="pt").input_features
        return self.network(features, decoder_input_ids=torch.tensor([prompt])).logits[0, -1].numpy()


@pytest.fixture(scope="module")
def english(real_tiny_en: Path, demo_clips: list[tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(real_tiny_en, tmp_path_factory.mktemp("english") / "model", decode(demo_clips[0][0]))


@pytest.fixture(scope="module")
def multilingual(
    shared_dir: Path, demo_clips: list[tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory
) -> Case:
    model = shared_dir / "models" / "whisper-tiny"
    return Case(model, tmp_path_factory.mktemp("multilingual") / "model", decode(demo_clips[0][0]))


EXPORTS: dict[str, tuple[Callable[..., Showing], Callable[[WhisperModel, Path], object], float]] = {
    "faster-whisper float32": (FasterWhisper, lambda s, out: write_ctranslate2(s, out, quantization="float32"), 2e-3),
    "faster-whisper int8": (FasterWhisper, lambda s, out: write_ctranslate2(s, out, quantization="int8"), 3.0),
    "openai-whisper float32": (OpenAIWhisper, lambda s, out: write_openai(s, out, dtype="float32"), 2e-3),
    "whisper.cpp f16": (WhisperCpp, lambda s, out: write_ggml(s, out, kind="f16"), 0.2),
    "whisper.cpp q5_0": (WhisperCpp, lambda s, out: write_ggml(s, out, kind="q5_0"), 6.0),
}


@pytest.mark.parametrize("export", EXPORTS)
def test_logits_of_an_english_only_model_are_those_of_transformers(export: str, english: Case, tmp_path: Path) -> None:
    opener, write, most = EXPORTS[export]
    write(english.model, tmp_path / "exported.pt")
    # <|startoftranscript|><|notimestamps|>
    expected = english.theirs([50257, 50362])
    with opener(tmp_path / "exported.pt") as runtime:
        for language in ("en", None):
            found = runtime.first_token_logits(english.clip, language)
            assert found.dtype == np.float32
            assert found.shape == (51864,)
            assert np.abs(found - expected).max() <= most
            assert found.argmax() == expected.argmax()


@pytest.mark.real_speech
@pytest.mark.parametrize(
    "export", [name for name in EXPORTS if name not in ("faster-whisper int8", "whisper.cpp q5_0")]
)
def test_logits_follow_language_and_task(export: str, multilingual: Case, tmp_path: Path) -> None:
    opener, write, most = EXPORTS[export]
    write(multilingual.model, tmp_path / "exported.pt")
    prompts = {("ru", "translate"): (RUSSIAN, TRANSLATE), (None, "transcribe"): (ENGLISH, TRANSCRIBE)}
    for (language, task), (language_id, task_id) in prompts.items():
        expected = multilingual.theirs([START, language_id, task_id, 50363])
        with opener(tmp_path / "exported.pt", task=task) as runtime:
            assert np.abs(runtime.first_token_logits(multilingual.clip, language) - expected).max() <= most


def test_eartunes_own_are_those_of_transformers(english: Case) -> None:
    assert np.abs(first_token_logits(english.model, english.clip, None) - english.theirs([50257, 50362])).max() < 2e-3


@pytest.mark.real_speech
def test_eartunes_own_follow_language_and_task(multilingual: Case, shared_dir: Path) -> None:
    translating = load(find(str(shared_dir / "models" / "whisper-tiny")), task="translate")
    expected = multilingual.theirs([START, RUSSIAN, TRANSLATE, 50363])
    assert np.abs(first_token_logits(translating, multilingual.clip, "ru") - expected).max() < 2e-3
    with pytest.raises(InputError, match="'xx'"):
        first_token_logits(translating, multilingual.clip, "xx")


@pytest.mark.parametrize("export", ["faster-whisper float32", "openai-whisper float32"])
def test_an_english_only_model_does_not_translate(export: str, english: Case, tmp_path: Path) -> None:
    opener, write, _ = EXPORTS[export]
    write(english.model, tmp_path / "exported.pt")
    with pytest.raises(InputError, match="task 'translate': the model is English-only; leave it at transcribe"):
        opener(tmp_path / "exported.pt", task="translate")
