"""An export on the Hugging Face hub: files, card, and its record without anybody's sentences or paths.

The token is the hub's own affair: the environment variable HF_TOKEN, or `hf auth login`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils._validators import validate_repo_id

from eartune.errors import EartuneError, InputError, first_line
from eartune.export.record import RECORD, ExportRecord, MadeFromRecord, read_record
from eartune.origin import ORIGIN, DataRecord

Data = TypeVar("Data", bound=DataRecord)
_ADVICE = "set the environment variable HF_TOKEN to a token that may write, or run `hf auth login`"


def require_account(repo: str) -> None:
    """Raise InputError or EartuneError where nothing could be pushed to OWNER/NAME: no token, no hub, a bad name."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"--push {repo}: {first_line(error)}") from None
    if "/" not in repo:
        raise InputError(f"--push {repo}: has no owner; write OWNER/NAME")
    if get_token() is None:
        raise InputError(f"--push {repo}: no token; {_ADVICE}")
    with _explained(repo):
        HfApi().whoami()


def push(folder: Path, repo: str, *, public: bool) -> str:
    """Put an export's folder on the hub in one commit, the repository created where it is new; return its address.

    Raises InputError or EartuneError in one line; the commit is there as a whole or not at all.
    """
    operations = [
        CommitOperationAdd(path.relative_to(folder).as_posix(), str(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (RECORD, ORIGIN)
    ]
    record = read_record(folder)
    if record is None:
        raise InputError(f"{folder}: has no {RECORD}, so it is not an export; export again")
    operations.append(CommitOperationAdd(RECORD, json.dumps(public_record(record).to_json(), indent=2).encode()))
    with _explained(repo):
        api = HfApi()
        api.create_repo(repo, private=not public, exist_ok=True)
        told = f"{record.format}, {record.quantization}, by eartune {record.eartune}"
        return str(api.create_commit(repo, operations, commit_message=told).commit_url)


def public_record(record: ExportRecord) -> ExportRecord:
    """Return a record without the sentences of the sample, and of paths only the names."""
    kept = record.model_dump(
        exclude={"made_from": {"config": True, "base_model": {"path": True}}, "parity": {"words": {"differing": True}}},
        exclude_unset=True,
    )
    public = ExportRecord.model_validate(kept)
    sample = _without_folders(public.sample) if public.sample else None
    return public.model_copy(update={"made_from": _named(public.made_from), "sample": sample})


def _named(source: MadeFromRecord) -> MadeFromRecord:
    """Return what an export was made from, by the last parts of the paths."""
    base = source.base_model
    if base.kind != "hub":
        base = base.model_copy(update={"spec": _last_part(base.spec)})
    named = source.model_copy(update={"model": _last_part(source.model), "base_model": base})
    if not source.data:
        return named
    return named.model_copy(update={"data": {split: _without_folders(data) for split, data in source.data.items()}})


def _without_folders(data: Data) -> Data:
    return data.model_copy(update={"manifests": [_last_part(path) for path in data.manifests]})


def _last_part(path: str) -> str:
    return PurePath(path).name


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    try:
        yield
    except OfflineModeIsEnabled:
        raise EartuneError(f"--push {repo}: HF_HUB_OFFLINE is set; unset it to reach the hub") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise InputError(f"--push {repo}: the hub refused the token ({status}); {_ADVICE}") from None
        raise EartuneError(f"--push {repo}: the hub answered {status}; try again later") from None
    except OSError as error:
        raise EartuneError(f"--push {repo}: the hub cannot be reached ({type(error).__name__}); try again") from None
