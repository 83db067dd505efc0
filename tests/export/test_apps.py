"""What is handed over to Mimir bears the names that its documentation gives."""

import pytest

from eartune.errors import InputError
from eartune.export.apps import hand_over


def test_a_russian_whisper_is_the_file_that_its_transcription_service_opens() -> None:
    handed = hand_over("mimir", "whisper", "ru")
    assert (handed.format, handed.file_name) == ("ggml", "whisper-russian-ggml.bin")
    line = 'const CUSTOM_MODEL_PATH: &str = "~/Library/Application Support/mimir/models/whisper-russian-ggml.bin";'
    assert line in handed.notes
    assert "src-tauri/src/transcription_service.rs" in handed.notes


def test_a_russian_parakeet_is_the_file_that_its_server_restores() -> None:
    handed = hand_over("mimir", "parakeet", "ru")
    assert (handed.format, handed.file_name) == ("nemo", "parakeet_russian.nemo")
    assert (
        'MODEL_PATH = os.path.expanduser("~/Library/Application Support/mimir/models/parakeet_russian.nemo")\n'
        "model = nemo_asr.models.ASRModel.restore_from(MODEL_PATH)"
    ) in handed.notes
    assert "scripts/parakeet_server.py" in handed.notes


def test_other_languages_and_other_families() -> None:
    assert hand_over("mimir", "whisper", "ht").file_name == "whisper-haitian_creole-ggml.bin"
    assert hand_over("mimir", "whisper", None).file_name == "whisper-custom-ggml.bin"
    with pytest.raises(InputError, match="--for mimir: it runs Whisper and Parakeet, not Canary"):
        hand_over("mimir", "canary", "en")
