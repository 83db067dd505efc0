"""Exports for the Mimir desktop app: the file name of a model, and the line of Mimir's code that names it."""

from __future__ import annotations

from dataclasses import dataclass

from eartune.errors import InputError
from eartune.languages import LANGUAGE_NAMES

NOTES = "MIMIR.md"


@dataclass(frozen=True)
class HandOver:
    """An export for Mimir: its format, its file name, and how to install it there."""

    format: str
    file_name: str
    notes: str


def hand_over(family: str, language: str | None) -> HandOver:
    """Return the export of a family for Mimir. Raises InputError for models that Mimir does not run."""
    app_language = LANGUAGE_NAMES.get(language, language).lower().replace(" ", "_") if language else "custom"
    if family == "whisper":
        name = f"whisper-{app_language}-ggml.bin"
        return HandOver(
            "ggml", name, _notes(name, "src-tauri/src/transcription_service.rs", "rust", _RUST.format(name))
        )
    if family == "parakeet":
        name = f"parakeet_{app_language}.nemo"
        return HandOver("nemo", name, _notes(name, "scripts/parakeet_server.py", "python", _PYTHON.format(name)))
    raise InputError(f"--for mimir: it runs Whisper (through whisper-rs) and Parakeet (through NeMo), not {family}")


def _notes(name: str, source: str, syntax: str, line: str) -> str:
    return f"""# Handing {name} over to Mimir

1. Copy the file to the Mac:

```bash
mkdir -p "$HOME/Library/Application Support/mimir/models"
cp {name} "$HOME/Library/Application Support/mimir/models/"
```

2. In Mimir's `{source}`:

```{syntax}
{line}
```
"""


_RUST = """const CUSTOM_MODEL_PATH: &str = "~/Library/Application Support/mimir/models/{}";
// Rust does not replace ~ by itself: where the code does not, write the whole path of the home folder"""
_PYTHON = """MODEL_PATH = os.path.expanduser("~/Library/Application Support/mimir/models/{}")
model = nemo_asr.models.ASRModel.restore_from(MODEL_PATH)"""
