"""origin.json: what a run, an adapter or a model was made from, so that no later verb has to ask.

A run writes one when it begins; best/, last/, merged models and exported folders have one of their own.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypedDict, cast

from pydantic import AfterValidator, PositiveInt

from eartune import __version__
from eartune.base_model import BaseModel
from eartune.config.train_config import TrainConfig
from eartune.family import families
from eartune.manifest import Utterance
from eartune.parsing import JsonObject, check_shape
from eartune.records import Place, Record, Task, read_record_file, write_record_file

ORIGIN = "origin.json"
ORIGIN_FORMAT = 1
_ADVICE = "it should say what this folder was made from: restore the file, or make the folder again"
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy")


def _require_family(name: str) -> str:
    if name not in families():
        raise ValueError(f"should be one of {', '.join(families())}")
    return name


def _require_kind(kind: str) -> str:
    known = ["hub", "folder", *dict.fromkeys(f.single_file.kind for f in families().values() if f.single_file)]
    if kind not in known:
        raise ValueError(f"should be one of {', '.join(known)}")
    return kind


FamilyName: TypeAlias = Annotated[str, AfterValidator(_require_family)]
Kind: TypeAlias = Annotated[str, AfterValidator(_require_kind)]


class BaseModelRecord(Record):
    """The model that training began with."""

    spec: Place
    """As the user named it."""
    kind: Kind
    path: Place | None = None
    """Where it lay on the machine that trained; records on the hub leave it out."""
    sha256: str
    """Of its weights."""
    revision: str | None = None
    """The commit on the hub."""

    @classmethod
    def of(cls, base: BaseModel) -> BaseModelRecord:
        return cls(spec=base.spec, kind=base.kind, path=str(base.path), sha256=base.sha256, revision=base.revision)


class DataRecord(Record):
    """Speech by what it is: its size, and a hash over texts, times and the sizes of the audio files."""

    manifests: list[Place]
    utterances: int
    skipped: int
    """Rows that could not be used."""
    seconds: float
    sha256: str


class Tuning(TypedDict, total=False):
    """How a model was tuned, as far as it is on record: the keys that an origin and the record of an export share."""

    method: str | None
    data: dict[str, DataRecord] | None
    config: JsonObject | None
    metrics: dict[str, float] | None


class Origin(Record):
    """What origin.json holds, of any kind of folder. None is what its writer did not know."""

    format: PositiveInt
    kind: Literal["run", "adapter", "model"]
    family: FamilyName
    task: Task | None = None
    language: str | None = None
    language_token: str | None = None
    """The languages whose tokens stand in for others, as the option has them."""
    method: str | None = None
    base_model: BaseModelRecord
    new_vocabulary: bool = False
    """Whether tokenizer and head of the base model were replaced, which an adapter applies to."""
    added_characters: str = ""
    """The characters for which the base model was given tokens, which an adapter applies to."""
    data: dict[str, DataRecord] | None = None
    """By split: train and val."""
    # the user's options, of which the names belong to config/ and may differ between versions
    config: JsonObject | None = None
    provenance: dict[str, str] | None = None
    """Where the value of each option came from."""
    decides: JsonObject | None = None
    """The options that decide what is learnt, as TrainConfig.training_fingerprint."""
    parent: Place | None = None
    """The folder or model that this one was made from."""
    step: int | None = None
    merge_difference: float | None = None
    """The largest difference of any logit between the merged and the adapted model."""
    metrics: dict[str, float] | None = None
    """Of the validation at this step."""
    versions: dict[str, str]

    @property
    def tuning(self) -> Tuning:
        """The part that the record of an export has too; a key that is absent here is absent there."""
        known = {name: getattr(self, name) for name in Tuning.__annotations__ if name in self.model_fields_set}
        return cast(Tuning, known)


class RunOrigin(Origin):
    """What origin.json of a run holds."""

    kind: Literal["run"]
    data: dict[str, DataRecord]
    config: JsonObject
    decides: JsonObject

    def of_weights(
        self, kind: Literal["adapter", "model"], *, parent: Path, step: int, metrics: dict[str, float]
    ) -> Origin:
        """Return the origin of weights that the run wrote after a step: what a later verb takes over from the run."""
        return Origin(
            format=ORIGIN_FORMAT,
            kind=kind,
            family=self.family,
            task=self.task,
            language=self.language,
            language_token=self.language_token,
            method=self.method,
            base_model=self.base_model,
            new_vocabulary=self.new_vocabulary,
            added_characters=self.added_characters,
            data=self.data,
            config=self.config,
            parent=str(parent),
            step=step,
            metrics=metrics,
            versions=installed_versions(),
        )


def origin_of_run(
    config: TrainConfig, base: BaseModel, data: dict[str, DataRecord], *, added_characters: str
) -> RunOrigin:
    """Return the origin of a run that begins."""
    return RunOrigin(
        format=ORIGIN_FORMAT,
        kind="run",
        family=config.family,
        task=config.data.task,
        language=config.data.language,
        language_token=config.data.language_token,
        method=config.model.method,
        base_model=BaseModelRecord.of(base),
        new_vocabulary=config.model.new_vocabulary,
        added_characters=added_characters,
        data=data,
        config=config.values(),
        provenance=dict(config.provenance),
        decides=config.training_fingerprint(),
        versions=installed_versions(),
    )


def read_origin(folder: Path) -> Origin | None:
    """Read a folder's origin.json, as RunOrigin where it is that of a run; None where there is not one.

    Raises InputError in one line where it is damaged or was written by a newer eartune.
    """
    path = folder / ORIGIN
    if not path.is_file():
        return None
    origin = read_record_file(path, Origin, advice=_ADVICE, format_key="format", newest_format=ORIGIN_FORMAT)
    if origin.kind != "run":
        return origin
    return check_shape(origin.to_json(), RunOrigin, where=str(path), advice=_ADVICE)


def write_origin(folder: Path, origin: Origin) -> None:
    """Write a folder's origin.json."""
    write_record_file(folder / ORIGIN, origin)


def describe_data(utterances: Sequence[Utterance], manifests: Sequence[Path], *, skipped: int) -> DataRecord:
    """Describe speech by what it is."""
    digest = hashlib.sha256()
    for utterance in utterances:
        row = [utterance.audio.name, utterance.audio.stat().st_size, utterance.offset_s, utterance.duration_s]
        row += [utterance.text, utterance.language]
        if utterance.channel is not None or utterance.segments:
            row += [utterance.channel, [(each.start_s, each.end_s, each.text) for each in utterance.segments]]
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return DataRecord(
        manifests=[str(path) for path in manifests],
        utterances=len(utterances),
        skipped=skipped,
        seconds=round(sum(utterance.duration_s for utterance in utterances), 3),
        sha256=digest.hexdigest(),
    )


def installed_versions() -> dict[str, str]:
    """Return the versions of eartune, of Python and of what trains and decodes."""
    found = {"eartune": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
