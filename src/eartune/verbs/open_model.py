"""RUN_OR_MODEL, as the user writes it, into a loaded model: a run, an adapter, a model folder, a hub id, a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from peft import PeftModel

from eartune.base_model import BaseModel
from eartune.errors import EartuneError, InputError
from eartune.export.record import RECORD, read_record
from eartune.families.registry import family, family_of, load_model, vocabulary
from eartune.language_tokens import require_language
from eartune.model import SpeechModel
from eartune.parsing import read_json
from eartune.run_dir import RunDir, read_origin
from eartune.training.adaptation.adapter_files import ADAPTER_CONFIG, COPY, AdapterConfig, load_adapter

Checkpoint = Literal["best", "last"]


@dataclass(frozen=True)
class Located:
    """Where a model's weights lie and what is known of them.

    `folder` holds an adapter or a whole tuned model; it is None where the model is a base model itself.
    """

    spec: str
    folder: Path | None
    is_adapter: bool
    base: BaseModel
    family: str
    task: str
    language: str | None
    checkpoint: str | None
    origin: dict[str, Any]
    # the languages whose tokens stand in for others, as the option language_token has them
    language_token: str | None = None

    @property
    def tuning(self) -> dict[str, Any]:
        """What is on record of how it was tuned."""
        known = ("method", "data", "config", "metrics")
        return {name: self.origin[name] for name in known if name in self.origin}


def locate(
    spec: str,
    *,
    checkpoint: Checkpoint | None = None,
    base_model: str | None = None,
    language: str | None = None,
    task: str | None = None,
    language_token: str | None = None,
    family_name: str | None = None,
) -> Located:
    """Find out what `spec` is, without loading weights.

    `checkpoint` chooses within a run (by default what the run's configuration says: best/, else last/); `language` (by
    any of its names), `task` and `language_token` override what the model was tuned for; `base_model` says where an
    adapter's base model lies if it has moved. Raises InputError in one line.
    """
    language = None if language is None else require_language(language)
    exported = _exported_file(Path(spec).expanduser())
    if exported is not None:
        record = read_record(exported)
        spec, language, task = str(exported), language or record["language"], task or record["task"]
        language_token = language_token or record.get("language_token")
    folder = Path(spec).expanduser()
    origin = (read_origin(folder) if folder.is_dir() else None) or {}
    chosen = None
    if origin.get("kind") == "run":
        folder, chosen = _within_run(RunDir(folder), origin, checkpoint)
        origin = read_origin(folder) or origin
    elif checkpoint is not None:
        raise InputError(f"{spec}: is not a run, so it has no {checkpoint}/; leave --checkpoint out")
    name = origin.get("family") or family_name or family_of(spec) or "whisper"
    task = task or origin.get("task", "transcribe")
    language = language or origin.get("language")
    language_token = language_token or origin.get("language_token")
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    if is_adapter:
        base = _base_of_adapter(folder, origin, base_model, name)
        return Located(spec, folder, True, base, name, task, language, chosen, origin, language_token)
    base = family(name).find(str(folder) if chosen else spec)
    return Located(spec, folder if chosen else None, False, base, name, task, language, chosen, origin, language_token)


def _exported_file(folder: Path) -> Path | None:
    """Return the one file of an export's folder that is a model eartune opens itself."""
    if not (folder / RECORD).is_file():
        return None
    files = [*folder.glob("*.pt"), *folder.glob("*.nemo")]
    return files[0] if len(files) == 1 else None


def open_located(located: Located) -> SpeechModel:
    """Load what was located, in float32 on the CPU, in evaluation mode."""
    model = load_model(
        located.family,
        located.base,
        task=located.task,
        language=located.language,
        language_token=located.language_token,
    )
    if located.is_adapter:
        assert located.folder is not None
        if located.origin.get("added_characters"):
            vocabulary(located.family).extend(model, located.origin["added_characters"])
        model.network = load_adapter(model.network, located.folder)
    model.network.eval()
    return model


def original_base(located: Located) -> Located | None:
    """Return the untuned model that a tuned one came from, or None where it is not known."""
    untuned = replace(located, folder=None, is_adapter=False, checkpoint=None, origin={})
    if located.is_adapter:
        return replace(untuned, spec=located.base.spec)
    recorded = located.origin.get("base_model")
    if not recorded or recorded["sha256"] == located.base.sha256:
        return None
    base = _recorded_base(recorded, located.family, where=located.spec)
    return replace(untuned, spec=base.spec, base=base)


def adapted_network(model: SpeechModel) -> PeftModel:
    assert isinstance(model.network, PeftModel)
    return model.network


def _within_run(run: RunDir, origin: dict[str, Any], checkpoint: Checkpoint | None) -> tuple[Path, str]:
    run.recover()
    wanted: Checkpoint = checkpoint or ("best" if origin["config"].get("load_best_model_at_end", True) else "last")
    for name in [wanted] if checkpoint else [wanted, "last"]:
        folder = run.root / name
        if folder.is_dir():
            return folder, name
    raise InputError(f"{run.root}: has no {wanted}/ yet; train further: give the training command again")


def _base_of_adapter(folder: Path, origin: dict[str, Any], base_model: str | None, name: str) -> BaseModel:
    recorded = origin.get("base_model")
    if base_model is not None:
        base = family(name).find(base_model)
        if recorded and base.sha256 != recorded["sha256"]:
            raise InputError(f"{base_model}: is not the model that {folder} was trained on ({recorded['spec']})")
        return base
    if recorded:
        return _recorded_base(recorded, name, where=str(folder))
    spec = _spec_in_adapter_config(folder / ADAPTER_CONFIG)
    if spec is None:
        raise InputError(f"{folder}: does not say which model it belongs to; name it with --base-model")
    try:
        return family(name).find(spec)
    except EartuneError as error:
        raise type(error)(f"{folder}: its base model: {error}; if it lies elsewhere, name it: --base-model") from None


def _recorded_base(recorded: dict[str, Any], name: str, *, where: str) -> BaseModel:
    for spec in (recorded["path"], recorded["spec"]):
        if Path(spec).exists() or (spec == recorded["spec"] and recorded["kind"] == "hub"):
            base = family(name).find(spec, revision=recorded["revision"] if spec == recorded["spec"] else None)
            if base.sha256 == recorded["sha256"]:
                return base
            raise InputError(
                f"{spec}: has changed since {where} was trained on it; restore it, or name it with --base-model"
            )
    raise InputError(
        f"{where}: its base model {recorded['spec']} is no longer at {recorded['path']}; name it with --base-model"
    )


def _spec_in_adapter_config(path: Path) -> str | None:
    return read_json(path, AdapterConfig, advice=COPY).get("base_model_name_or_path") or None
