"""Export formats of a family, and the formats that a user asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eartune.errors import InputError, nearest
from eartune.model import SpeechModel, Waveform

# one name for what the formats call differently
SAME = {"fp32": "float32", "f32": "float32", "fp16": "float16", "f16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Exporter:
    """How the models of a family are written in one format.

    `write` takes the model (adapters merged), the place, the quantisation and the .nemo file it began as, if any. The
    place is a file that is not there yet, or an empty folder where the format is one. It returns the largest difference
    between the logits of what it wrote and the model's, where it looked.
    """

    write: Callable[[SpeechModel, Path, str, Path | None], float | None]
    quantizations: tuple[str, ...]
    """The first is what is taken where nothing is asked for."""
    file_name: str | None = None
    """The export's name in its folder, with {quantization}; None where the folder itself is the export."""
    reads_back: bool = False
    """Whether eartune opens the export as it opens any model, so that its logits can be compared."""
    needs_original: bool = False
    """Whether the .nemo file that the model began as gives the rest of the export."""


@dataclass(frozen=True)
class FamilyExports:
    """What a family offers: formats by name, the logits [V] of a clip's first token (model, clip, language), and the
    code under which other programs are told a language (model, language), where that is not its own.
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
        """What its folder is called."""
        if self.app:
            return self.app
        return f"{self.format}-{self.quantization}" if len(self.exporter.quantizations) > 1 else self.format

    @property
    def file_name(self) -> str | None:
        named = self.exporter.file_name
        return named.format(quantization=self.quantization) if named else None


def plan(
    formats: Sequence[str], quantizations: Sequence[str], *, family: str, exporters: Mapping[str, Exporter]
) -> list[Target]:
    """Return what is to be written: every format in all the quantisations asked for that it has, or in its usual one.

    Raises InputError for formats that the family has none of, and for quantisations that none of the formats has.
    """
    for name in formats:
        if name not in exporters:
            raise InputError(
                f"--to {name}: a {family} is not exported to it, but to {', '.join(exporters)}."
                f"{nearest(name, list(exporters))}"
            )
    chosen = {name: exporters[name] for name in formats}
    known = list(dict.fromkeys(kind for exporter in chosen.values() for kind in exporter.quantizations))
    for asked in quantizations:
        if not any(_called(asked, exporter) for exporter in chosen.values()):
            raise InputError(
                f"--quantize {asked}: {' and '.join(chosen)} have {', '.join(known)}.{nearest(asked, known)}"
            )
    targets = []
    for name, exporter in chosen.items():
        wanted = [called for asked in quantizations if (called := _called(asked, exporter))]
        targets += [Target(name, kind, exporter) for kind in dict.fromkeys(wanted or exporter.quantizations[:1])]
    return targets


def save_folder(model: SpeechModel, folder: Path, *_: object) -> None:
    """Write a model as a Hugging Face folder."""
    model.save(folder)


def for_app(target: Target, app: str, file_name: str) -> Target:
    """Return a target that is to be a file of a certain name for an app."""
    return replace(target, app=app, exporter=replace(target.exporter, file_name=file_name))


def _called(asked: str, exporter: Exporter) -> str | None:
    """Return what a format calls a quantisation that a user may call otherwise."""
    wanted = SAME.get(asked, asked)
    return next((kind for kind in exporter.quantizations if SAME.get(kind, kind) == wanted), None)
