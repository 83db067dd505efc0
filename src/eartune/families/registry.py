"""The door to the families: which one, by name, imported only when it is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from eartune.base_model import BaseModel
from eartune.config.train_config import FAMILIES
from eartune.errors import InputError, nearest
from eartune.speech_model import SpeechModel


class FamilyDoor(Protocol):
    """What a family's module `load` offers."""

    def find(self, spec: str, *, revision: str | None = None, cache: Path | None = None) -> BaseModel:
        """Find a base model, fetching it if it is a hub id."""

    def load(self, base: BaseModel, *, task: str = "transcribe", language: str | None = None) -> SpeechModel:
        """Load it in float32 on the CPU."""


def family(name: str) -> FamilyDoor:
    """Return a family by name."""
    if name not in FAMILIES:
        raise InputError(
            f"family {name!r} is not known; this version has {', '.join(FAMILIES)}.{nearest(name, FAMILIES)}"
        )
    return cast(FamilyDoor, importlib.import_module(f"eartune.families.{name}.load"))
