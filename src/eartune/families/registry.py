"""The code of families, imported only when it is needed; what they declare of themselves is in `eartune.family`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from eartune.base_model import BaseModel, find_base_model, model_type, nemo_within
from eartune.errors import InputError
from eartune.export.exporter import Exporter, FamilyExports
from eartune.family import PACKAGE, Family, families, family_by_words, family_named, joined, refuse
from eartune.manifest import Utterance
from eartune.model import SpeechModel


@dataclass(frozen=True)
class Loader:
    """Finds and loads the models of a family."""

    family: Family

    def find(self, spec: str, *, revision: str | None = None, cache: Path | None = None) -> BaseModel:
        """Find a base model, fetching it if it is a hub id. Raises InputError or EartuneError."""
        return find_base_model(spec, self.family, revision=revision, cache=cache)

    def load(self, base: BaseModel, **options: Any) -> SpeechModel:
        """Load a base model in float32 on the CPU, for a `task` and a `language`.

        `language_token` names the languages whose tokens stand in for others; with `new_vocabulary` the model has no
        characters yet. Raises InputError for files that are damaged, and for options that the family refuses.
        """
        for name in ("language_token", "new_vocabulary"):
            if not options.get(name):
                options.pop(name, None)
            elif why := refuse(name, self.family):
                raise InputError(f"{name}: {why}: leave it out")
        return cast(SpeechModel, _module(self.family.name, "load").load(base, **options))


def family(name: str) -> Loader:
    """Return what loads the models of a family. Raises InputError for a name that is not known."""
    return Loader(family_named(name))


def exports_of(name: str) -> FamilyExports:
    """Return what a family's models are exported to."""
    declared = family_named(name).formats
    module = _module(name, "exports")
    formats = {name: Exporter(module.WRITERS[name], form) for name, form in declared.items()}
    return FamilyExports(formats, getattr(module, "first_token_logits", None), getattr(module, "language_code", None))


class VocabularyModule(Protocol):
    """What a family's module `vocabulary` offers, where its models can be given more tokens."""

    def lacking(self, model: SpeechModel, utterances: Sequence[Utterance]) -> str:
        """Return the characters of texts to learn that no token stands for, the most frequent first."""

    def extend(self, model: SpeechModel, characters: str) -> None:
        """Give a model just loaded tokens for characters, in place."""


def vocabulary(name: str) -> VocabularyModule:
    """Return what gives a family's models tokens for characters that they lack. Raises InputError."""
    if refuse("extend_vocabulary", family_named(name)):
        able = [each.title for each in families().values() if not refuse("extend_vocabulary", each)]
        raise InputError(f"tokens are added to models of {joined(able)} only, and this is a {family_named(name).title}")
    return cast(VocabularyModule, _module(name, "vocabulary"))


def family_of(spec: str) -> str | None:
    """Tell the family of a model that a user names, by what the file or folder says, or by a hub id's words.

    None where nothing tells. Raises InputError for a .nemo file that is damaged or of another kind.
    """
    path = Path(spec).expanduser()
    archive = nemo_within(path) if path.is_dir() else path if path.is_file() and path.suffix == ".nemo" else None
    if archive is not None:
        # torch takes a second to import: only for what needs it
        from eartune.families._nemo.archive import read_archive  # noqa: PLC0415
        from eartune.families._nemo.spec import model_kind  # noqa: PLC0415

        kind = model_kind(read_archive(archive))
        return next(f.name for f in families().values() if f.single_file and kind in f.single_file.contents)
    told = family_by_words((model_type(path) if path.is_dir() else path.name) or "")
    return told.name if told else None


def _module(name: str, module: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}.{module}")
