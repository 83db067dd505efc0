"""The declaration of a model family: everything that other packages know of it without importing torch.

Each package in `families/` declares its own as FAMILY; help texts, option defaults, refusals, export formats and tables
of the manual are made from the declarations.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from eartune.errors import InputError, nearest

PACKAGE = "eartune.families"
# the kind of single file that several families share
NEMO = "nemo"


@dataclass(frozen=True)
class SingleFile:
    """A file that holds a whole model."""

    kind: str
    """Its name in records."""
    suffix: str
    title: str
    """With its article: a .nemo file."""
    contents: tuple[str, ...] = ()
    """The kinds of model in it that are of this family, if several families share the file's format."""


@dataclass(frozen=True)
class Usage:
    """A program that runs an export, and its code in a language (python, bash, rust).

    In the text, {file} is the export within its folder, and {language} the language.
    """

    program: str
    syntax: str
    text: str


@dataclass(frozen=True)
class Format:
    """An export format of a family. What writes it is in the family's `exports.py`, under the same name."""

    description: str
    quantizations: tuple[str, ...]
    """The first is the default."""
    runtime: str
    """What opens an export, as module:name."""
    usages: Callable[[Path], Sequence[Usage]]
    """Code that runs an export, for its model card."""
    file_name: str | None = None
    """The export's name in its folder, with {quantization}; None where the folder itself is the export."""
    marks: tuple[str, ...] = ()
    """Files of which a folder in this format has one, where families lay the format out differently."""
    config_types: tuple[str, ...] = ()
    """Values of model_type in the export's config.json, where other families have files of the same names."""
    reads_back: bool = False
    """Whether eartune opens the export as it opens any model, so that its logits can be compared."""
    needs_original: bool = False
    """Whether the original single file of the model provides the rest of the export."""


@dataclass(frozen=True)
class AppExport:
    """An export for an app: format and file name (with {language}), and the line of the app's code that names it."""

    format: str
    file_name: str
    source: str
    syntax: str
    line: str
    """With {file}."""


@dataclass(frozen=True)
class Family:
    """A model family; the modules `load`, `exports` and `vocabulary` of its package do what is declared here."""

    name: str
    title: str
    model_types: tuple[str, ...]
    """Values of model_type in config.json."""
    words: tuple[str, ...]
    """Parts of model types and hub ids that tell the family."""
    hub_owner: str
    """Completes a hub id without owner."""
    example: str
    """A hub id to begin with."""
    max_duration_s: float
    """The longest utterance that it is trained on."""
    formats: Mapping[str, Format]
    single_file: SingleFile | None = None
    tasks: tuple[str, ...] = ("transcribe",)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Training options with another default, by name."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Training options that must keep their default, by name, with the reason."""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Values that differ in the presets, by preset."""
    apps: Mapping[str, AppExport] = field(default_factory=dict)
    """Exports for apps, by the app's name."""
    has_language_pairs: bool = False
    """Whether a row of a manifest may name a source and a target language."""
    is_assumed: bool = False
    """Whether a model is taken for one of this family where nothing tells."""

    @property
    def reads_nemo(self) -> bool:
        return self.single_file is not None and self.single_file.kind == NEMO


NO_FEATURE_ENCODER = "is for encoders of raw samples, and {title} has filter banks in place of such convolutions"
NO_LANGUAGE_TOKENS = "is for models with language tokens of other languages to borrow, and {title} has none"
# for families of CTC and transducers
GREEDY_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "label_smoothing_factor": "applies to cross-entropy, which {title} does not use",
        "generation_num_beams": "{title} is decoded greedily",
    }
)
# for families whose encoder takes utterances of any length and masks the padding
OWN_LENGTH_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"window": "short", "short_margin": 0.0, "short_jitter": 0.0, "short_full": 0.0, "eval_window": "short"}
)
_OWN_LENGTH = "is for models with a fixed window, and {title} encodes each utterance at its own length"
OWN_LENGTH_REFUSED: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (*OWN_LENGTH_DEFAULTS, "packed_gap", "packed_timestamps", "packed_alone", "cache_encoder"), _OWN_LENGTH
    )
)


@cache
def families() -> Mapping[str, Family]:
    """Return the declared families by name: first the one that is assumed where nothing tells, then by name."""
    package = importlib.import_module(PACKAGE)
    names = [found.name for found in pkgutil.iter_modules(package.__path__) if found.ispkg]
    modules = (importlib.import_module(f"{PACKAGE}.{name}") for name in names if not name.startswith("_"))
    declared: list[Family] = sorted((module.FAMILY for module in modules), key=lambda f: (not f.is_assumed, f.name))
    return MappingProxyType({family.name: family for family in declared})


def family_named(name: str) -> Family:
    """Return a family by name. Raises InputError."""
    known = families()
    if name not in known:
        raise InputError(
            f"family {name!r} is not known; this version has {', '.join(known)}.{nearest(name, list(known))}"
        )
    return known[name]


def family_by_words(told: str) -> Family | None:
    """Return the family that a model type or a hub id names; None if it names none."""
    told = told.lower()
    found = [(len(word), family) for family in families().values() for word in family.words if word in told]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def refuse(option: str, family: Family) -> str | None:
    """Return the reason why an option must keep its default in a family, or None."""
    reason = family.refused.get(option)
    return None if reason is None else reason.format(title=family.title)


def joined(names: Sequence[str]) -> str:
    """Return names as in a sentence: a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
