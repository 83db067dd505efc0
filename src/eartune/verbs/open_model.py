"""Lookup and loading of a RUN_OR_MODEL argument: a run, an adapter, a model folder, a Hub id or a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from peft import PeftModel

from eartune.base_model import BaseModel
from eartune.errors import EartuneError, InputError
from eartune.export.record import RECORD, read_record
from eartune.families.registry import family, family_of, vocabulary
from eartune.family import families
from eartune.language_tokens import require_language
from eartune.model import SpeechModel
from eartune.origin import BaseModelRecord, Origin, RunOrigin, Tuning, read_origin
from eartune.parsing import read_json
from eartune.records import Task
from eartune.run_dir import RunDir
from eartune.training.adaptation.adapter_files import ADAPTER_CONFIG, COPY, AdapterConfig, load_adapter

Checkpoint = Literal["best", "last"]


@dataclass(frozen=True)
class Located:
    """The location of a model's weights and what is known of them.

    `folder` holds an adapter or a complete tuned model; it is None for a base model.
    """

    spec: str
    folder: Path | None
    is_adapter: bool
    base: BaseModel
    family: str
    task: Task
    language: str | None
    checkpoint: str | None
    origin: Origin | None
    # the languages whose tokens stand in for others, in the form of the option language_token
    language_token: str | None = None

    @property
    def recorded_base(self) -> BaseModelRecord | None:
        """The model that it was tuned from, if recorded."""
        return self.origin.base_model if self.origin else None

    @property
    def tuning(self) -> Tuning:
        """The recorded facts of its tuning."""
        return self.origin.tuning if self.origin else {}


def locate(
    spec: str,
    *,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    language: str | None = None,
    task: Task | None = None,
    language_token: str | None = None,
    family_name: str | None = None,
) -> Located:
    """Resolve `spec` without loading weights.

    `checkpoint` chooses within a run (by default as in the run's configuration: best/, else last/); `language` (by
    any of its names), `task` and `language_token` override what the model was tuned for; `base_model` is the
    new path of an adapter's base model if it has moved. Raises InputError.
    """
    language = None if language is None else require_language(language)
    exported = _exported_file(Path(spec).expanduser())
    if exported is not None:
        spec = str(exported)
        record = read_record(exported)
        if record is not None:
            language, task = language or record.language, task or record.task
            language_token = language_token or record.language_token
    folder = Path(spec).expanduser()
    origin = read_origin(folder)
    chosen = None
    if isinstance(origin, RunOrigin):
        folder, chosen = _within_run(RunDir(folder), origin, checkpoint)
        origin = read_origin(folder) or origin
    elif checkpoint is not None:
        raise InputError(f"{spec}: is not a run, so it has no {checkpoint}/; leave --checkpoint out")
    if origin is not None:
        language, task = language or origin.language, task or origin.task
        language_token = language_token or origin.language_token
    name = (origin.family if origin else None) or family_name or family_of(spec) or next(iter(families()))
    task = task or "transcribe"
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    if is_adapter:
        base = _base_of_adapter(folder, origin, base_model, name)
        return Located(spec, folder, True, base, name, task, language, chosen, origin, language_token)
    base = family(name).find(str(folder) if chosen else spec)
    return Located(spec, folder if chosen else None, False, base, name, task, language, chosen, origin, language_token)


def _exported_file(folder: Path) -> Path | None:
    """Return the model file in an export's folder that eartune itself can load, if there is exactly one."""
    if not (folder / RECORD).is_file():
        return None
    files = [*folder.glob("*.pt"), *folder.glob("*.nemo")]
    return files[0] if len(files) == 1 else None


def open_located(located: Located) -> SpeechModel:
    """Load a located model in float32 on the CPU, in evaluation mode."""
    model = family(located.family).load(
        located.base,
        task=located.task,
        language=located.language,
        language_token=located.language_token,
        new_vocabulary=located.is_adapter and located.origin is not None and located.origin.new_vocabulary,
    )
    if located.is_adapter:
        assert located.folder is not None
        if located.origin is not None and located.origin.added_characters:
            vocabulary(located.family).extend(model, located.origin.added_characters)
        model.network = load_adapter(model.network, located.folder)
    model.network.eval()
    return model


def original_base(located: Located) -> Located | None:
    """Return the base model of a tuned one, or None where it is not known."""
    if located.origin is not None and located.origin.new_vocabulary:
        # the base model has another vocabulary, or none
        return None
    untuned = replace(located, folder=None, is_adapter=False, checkpoint=None, origin=None)
    if located.is_adapter:
        return replace(untuned, spec=located.base.spec)
    recorded = located.recorded_base
    if recorded is None or recorded.sha256 == located.base.sha256:
        return None
    base = _recorded_base(recorded, located.family, where=located.spec)
    return replace(untuned, spec=base.spec, base=base)


def adapted_network(model: SpeechModel) -> PeftModel:
    assert isinstance(model.network, PeftModel)
    return model.network


def _within_run(run: RunDir, origin: RunOrigin, checkpoint: Checkpoint | None) -> tuple[Path, str]:
    run.recover()
    preferred: Checkpoint = checkpoint or ("best" if origin.config.get("load_best_model_at_end", True) else "last")
    for name in [preferred] if checkpoint else [preferred, "last"]:
        folder = run.root / name
        if folder.is_dir():
            return folder, name
    raise InputError(f"{run.root}: has no {preferred}/ yet; repeat the training command to continue")


def _base_of_adapter(folder: Path, origin: Origin | None, base_model: str | None, name: str) -> BaseModel:
    recorded = origin.base_model if origin else None
    if base_model is not None:
        base = family(name).find(base_model)
        if recorded is not None and base.sha256 != recorded.sha256:
            raise InputError(f"{base_model}: is not the model that {folder} was trained on ({recorded.spec})")
        return base
    if recorded is not None:
        return _recorded_base(recorded, name, where=str(folder))
    spec = _spec_in_adapter_config(folder / ADAPTER_CONFIG)
    if spec is None:
        raise InputError(f"{folder}: does not name its base model; give it with --base-model")
    try:
        return family(name).find(spec)
    except EartuneError as error:
        raise type(error)(f"{folder}: its base model: {error}; if it has moved, give it with --base-model") from None


def _recorded_base(recorded: BaseModelRecord, name: str, *, where: str) -> BaseModel:
    for spec in filter(None, (recorded.path, recorded.spec)):
        if Path(spec).exists() or (spec == recorded.spec and recorded.kind == "hub"):
            base = family(name).find(spec, revision=recorded.revision if spec == recorded.spec else None)
            if base.sha256 == recorded.sha256:
                return base
            raise InputError(
                f"{spec}: has changed since {where} was trained on it; restore it, or name it with --base-model"
            )
    raise InputError(
        f"{where}: its base model {recorded.spec} is no longer at {recorded.path}; name it with --base-model"
    )


def _spec_in_adapter_config(path: Path) -> str | None:
    return read_json(path, AdapterConfig, advice=COPY).get("base_model_name_or_path") or None
