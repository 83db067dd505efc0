"""Families by name, imported only when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from eartune.base_model import OTHER_NAMES, BaseModel, model_type, nemo_within
from eartune.config.family import EXTENSIBLE
from eartune.config.train_config import FAMILIES
from eartune.errors import InputError, nearest
from eartune.export.exporter import FamilyExports
from eartune.manifest import Utterance
from eartune.model import SpeechModel

# what a model's type or hub id says -> its family
_WORDS = {name: name for name in FAMILIES} | OTHER_NAMES


class FamilyModule(Protocol):
    """What a family's module `load` offers."""

    def find(self, spec: str, *, revision: str | None = None, cache: Path | None = None) -> BaseModel:
        """Find a base model, fetching it if it is a hub id."""

    def load(self, base: BaseModel, *, task: str = "transcribe", language: str | None = None) -> SpeechModel:
        """Load it in float32 on the CPU."""


def family(name: str) -> FamilyModule:
    """Return a family by name."""
    if name not in FAMILIES:
        raise InputError(
            f"family {name!r} is not known; this version has {', '.join(FAMILIES)}.{nearest(name, FAMILIES)}"
        )
    return cast(FamilyModule, importlib.import_module(f"eartune.families.{name}.load"))


def load_model(
    name: str, base: BaseModel, *, task: str, language: str | None, language_token: str | None = None
) -> SpeechModel:
    """Load a base model of a family for a task and a language, in float32 on the CPU.

    `language_token` names the languages whose tokens stand in for others. Raises InputError where the family has none.
    """
    if language_token is None:
        return family(name).load(base, task=task, language=language)
    if name != "whisper":
        raise InputError(f"language_token: is for Whisper, and this is a {name}: leave it out")
    from eartune.families.whisper.load import load  # noqa: PLC0415  a family is imported when it is asked for

    return load(base, task=task, language=language, language_token=language_token)


def exports_of(name: str) -> FamilyExports:
    """Return what a family's models are exported to."""
    return cast(FamilyExports, importlib.import_module(f"eartune.families.{name}.exports").EXPORTS)


class VocabularyModule(Protocol):
    """What a family's module `vocabulary` offers, where its models can be given more tokens."""

    def lacking(self, model: SpeechModel, utterances: Sequence[Utterance]) -> str:
        """Return the characters of texts to learn that no token stands for, the most frequent first."""

    def extend(self, model: SpeechModel, characters: str) -> None:
        """Give a model just loaded tokens for characters, in place."""


def vocabulary(name: str) -> VocabularyModule:
    """Return what gives a family's models tokens for characters that they lack."""
    if name not in EXTENSIBLE:
        raise InputError(f"tokens are added to models of {' and '.join(EXTENSIBLE)} only, and this is a {name}")
    return cast(VocabularyModule, importlib.import_module(f"eartune.families.{name}.vocabulary"))


def family_of(spec: str) -> str | None:
    """Tell the family of a model that a user names, by what the file or folder says, or by a hub id's words.

    None where nothing tells. Raises InputError for a .nemo file that is damaged or of another kind.
    """
    path = Path(spec).expanduser()
    archive = nemo_within(path) if path.is_dir() else path if path.is_file() and path.suffix == ".nemo" else None
    if archive is not None:
        # torch takes a second to import: only for what needs it
        from eartune.nemo.architecture import model_kind  # noqa: PLC0415
        from eartune.nemo.archive import read_archive  # noqa: PLC0415

        return "canary" if model_kind(read_archive(archive)) == "canary" else "parakeet"
    told = model_type(path) if path.is_dir() else path.name.lower()
    return next((name for word, name in _WORDS.items() if word in (told or "")), None)
