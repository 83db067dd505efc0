"""Export formats of a family, and the formats that a user requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from eartune.errors import InputError, nearest
from eartune.family import Format
from eartune.model import SpeechModel, Waveform

# one name for quantisations that the formats name differently
SYNONYMS = {"fp32": "float32", "f32": "float32", "fp16": "float16", "f16": "float16", "bf16": "bfloat16"}


# takes the model (adapters merged), the path, the quantisation and the original .nemo file, if any. The path is a file
# that does not exist yet, or an empty folder if the format is a folder. It returns the largest difference between the
# logits of the export and the model's, or None if it did not compare them
Writer: TypeAlias = Callable[[SpeechModel, Path, str, Path | None], float | None]


@dataclass(frozen=True)
class Exporter:
    """Writer of a family's models in one format, and what the family declares of the format."""

    write: Writer
    declared: Format


@dataclass(frozen=True)
class FamilyExports:
    """The exports of a family: formats by name, a function for the logits [V] of a clip's first token (model, clip,
    language), and one for the code of a language in other programs (model, language), if that is not its own.
    """

    formats: Mapping[str, Exporter]
    first_token_logits: Callable[[SpeechModel, Waveform, str | None], npt.NDArray[np.float32]] | None = None
    language_code: Callable[[SpeechModel, str | None], str | None] | None = None


@dataclass(frozen=True)
class Target:
    """One export: a format with a quantisation."""

    format: str
    quantization: str
    exporter: Exporter
    app: str | None = None
    """The app that it is handed over to, if any."""

    @property
    def name(self) -> str:
        """The name of its folder."""
        if self.app:
            return self.app
        return f"{self.format}-{self.quantization}" if len(self.exporter.declared.quantizations) > 1 else self.format

    @property
    def file_name(self) -> str | None:
        template = self.exporter.declared.file_name
        return template.format(quantization=self.quantization) if template else None


def plan(
    formats: Sequence[str], quantizations: Sequence[str], *, family: str, exporters: Mapping[str, Exporter]
) -> list[Target]:
    """Return the exports to write: every format in all requested quantisations that it has, or in its default one.

    Raises InputError for formats that the family does not have, and for quantisations that none of the formats has.
    """
    for name in formats:
        if name not in exporters:
            raise InputError(
                f"--to {name}: a {family} cannot be exported to it, only to {', '.join(exporters)}."
                f"{nearest(name, list(exporters))}"
            )
    chosen = {name: exporters[name] for name in formats}
    known = list(dict.fromkeys(kind for exporter in chosen.values() for kind in exporter.declared.quantizations))
    for requested in quantizations:
        if not any(_own_name(requested, exporter) for exporter in chosen.values()):
            raise InputError(
                f"--quantize {requested}: {' and '.join(chosen)} have {', '.join(known)}.{nearest(requested, known)}"
            )
    targets = []
    for name, exporter in chosen.items():
        wanted = [kind for requested in quantizations if (kind := _own_name(requested, exporter))]
        targets += [
            Target(name, kind, exporter) for kind in dict.fromkeys(wanted or exporter.declared.quantizations[:1])
        ]
    return targets


def save_folder(model: SpeechModel, folder: Path, *_: object) -> None:
    """Write a model as a Hugging Face folder."""
    model.save(folder)


def as_app_file(target: Target, app: str, file_name: str) -> Target:
    """Return a target that is a file of this name for an app."""
    exporter = target.exporter
    return replace(
        target, app=app, exporter=replace(exporter, declared=replace(exporter.declared, file_name=file_name))
    )


def _own_name(requested: str, exporter: Exporter) -> str | None:
    """Return a format's own name of a quantisation, which the user may name differently; None if it has none."""
    wanted = SYNONYMS.get(requested, requested)
    return next((kind for kind in exporter.declared.quantizations if SYNONYMS.get(kind, kind) == wanted), None)
