"""Search for base models: a hub id, a local Hugging Face folder, an OpenAI .pt file or a .nemo file.

The search is the same for all families; loading is the family's part.
"""

from __future__ import annotations

import hashlib
import itertools
import lzma
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from typing_extensions import TypedDict

from eartune.errors import EartuneError, InputError
from eartune.family import NEMO, Family
from eartune.packages import sha256_of
from eartune.parsing import read_json

# members of a .nemo file besides its tokenizer
NEMO_CONFIG, NEMO_WEIGHTS = "model_config.yaml", "model_weights.ckpt"
_NAMES_SHOWN = 8
_SETTINGS = ["*.json", "*.txt"]
# weights for one language, of which a model has a thousand: whoever needs one fetches it
_OF_LANGUAGES = "adapter.*.safetensors"
_TOKEN_ADVICE = "set the environment variable HF_TOKEN or run `hf auth login`"


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine. `sha256` is the hash of its weights; of several files, of their hashes by name."""

    spec: str
    kind: str
    """hub, folder, or that of the family's single file."""
    path: Path
    sha256: str
    revision: str | None = None


def find_base_model(spec: str, family: Family, *, revision: str | None = None, cache: Path | None = None) -> BaseModel:
    """Find a model of a family by the user's specification; a hub id is downloaded.

    Raises InputError or EartuneError in one line: not found, not that kind of model, offline, gated, bad token.
    """
    local = Path(spec).expanduser()
    single, accepted = family.single_file, _accepted(family)
    if local.is_file():
        if single is not None and local.suffix == single.suffix:
            return BaseModel(spec, single.kind, local.resolve(), sha256_of(local))
        problem = _tar_problem(local) or ("is a file, but not a " + single.suffix if single else "is a file")
        raise InputError(f"{spec}: {problem}; give {accepted}")
    if local.is_dir():
        archive = nemo_within(local) if family.reads_nemo else None
        if archive is not None:
            return BaseModel(spec, NEMO, archive.resolve(), _hash_of_nemo(archive))
        _check_folder(local, family.model_types)
        return BaseModel(spec, "folder", local.resolve(), _hash_of_weights(local))
    if _looks_local(spec):
        raise InputError(f"{spec}: no such file or folder; give {accepted}")
    repo_id = spec if "/" in spec else f"{family.hub_owner}/{spec}"
    folder = _fetch_from_hub(repo_id, revision, cache, family)
    archives = sorted(folder.glob("*.nemo")) if family.reads_nemo and not weight_files(folder) else []
    if archives:
        return BaseModel(repo_id, NEMO, archives[0], sha256_of(archives[0]), revision=folder.name)
    _check_folder(folder, family.model_types)
    # huggingface_hub names the snapshot folder after the commit
    return BaseModel(repo_id, "hub", folder, _hash_of_weights(folder), revision=folder.name)


def _accepted(family: Family) -> str:
    """Return what a family's model may be given as, for messages."""
    if family.single_file is None:
        return "a hub id or a model folder"
    return f"a hub id, a model folder or {family.single_file.title}"


def weight_files(folder: Path) -> list[Path]:
    """List the weights of a model folder: safetensors, else pickled ones; without those of single languages."""
    found = sorted(set(folder.glob("*.safetensors")) - set(folder.glob(_OF_LANGUAGES)))
    return found or sorted(folder.glob("pytorch_model*.bin"))


def nemo_within(folder: Path) -> Path | None:
    """Return the .nemo model of a folder: its only .nemo file, or the folder itself if one was unpacked into it.

    None if the folder has a model of another kind, or no model. Raises InputError if it has several.
    """
    if any((folder / name).exists() for name in ("config.json", "adapter_config.json", "best", "last")):
        return None
    if (folder / NEMO_CONFIG).is_file():
        return folder
    archives = sorted(path for path in folder.glob("*.nemo") if path.is_file())
    if len(archives) > 1:
        raise InputError(f"{folder}: holds {', '.join(path.name for path in archives[:8])}; give one of these files")
    return archives[0] if archives else None


def _hash_of_nemo(path: Path) -> str:
    weights = path / NEMO_WEIGHTS if path.is_dir() else path
    if not weights.is_file():
        raise InputError(
            f"{path}: is an unpacked .nemo model without its {NEMO_WEIGHTS}; give the .nemo file that NeMo saved, or "
            f"unpack all of it: tar xf MODEL.nemo -C {path}"
        )
    return sha256_of(weights)


def _tar_problem(path: Path) -> str:
    """Return a finding with the members of a tar file, as .nemo files are; "" if it is not a tar."""
    try:
        with tarfile.open(path) as tar:
            names = [member.name.removeprefix("./") for member in itertools.islice(tar, _NAMES_SHOWN) if member.isreg()]
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError):
        return ""
    if any(name.rpartition("/")[2] == NEMO_CONFIG for name in names):
        stem = path.name.removesuffix(path.suffix).removesuffix(".tar")
        return f"is a .nemo file under another name: rename it to {stem}.nemo"
    return f"is a tar of {', '.join(names) or 'nothing'}: unpack it"


def _looks_local(spec: str) -> bool:
    return (
        spec.startswith((".", "/", "~", "\\"))
        or spec.count("/") > 1
        or "\\" in spec
        or ":" in spec
        or Path(spec).suffix in (".pt", ".nemo", ".bin", ".safetensors", ".ckpt")
    )


def _check_folder(folder: Path, model_types: Sequence[str]) -> None:
    config = folder / "config.json"
    if (folder / "adapter_config.json").is_file():
        raise InputError(
            f"{folder}: holds an adapter, not a whole model; merge it first: eartune merge {folder} --out DIR"
        )
    if (folder / "best").is_dir() or (folder / "last").is_dir():
        raise InputError(
            f"{folder}: is a run, not a model; merge it first (eartune merge {folder} --out DIR), "
            f"or give {folder / 'best'} if all its weights were trained"
        )
    if not config.is_file() and ((folder / NEMO_CONFIG).is_file() or any(folder.glob("*.nemo"))):
        raise InputError(f"{folder}: holds a .nemo model, expected a {' or '.join(model_types)}")
    dangling = next((path for path in sorted(folder.iterdir()) if path.is_symlink() and not path.exists()), None)
    if dangling is not None:
        raise InputError(f"{dangling}: is a link to a file that is not there; copy the model with its files (cp -L)")
    if not config.is_file():
        raise InputError(f"{folder}: has no config.json, so it is not a Hugging Face model folder")
    found = model_type(folder)
    if found not in model_types:
        raise InputError(f"{config}: model_type is {found!r}, expected {' or '.join(map(repr, model_types))}")
    if not weight_files(folder):
        raise InputError(f"{folder}: has no weights (model.safetensors); copy the whole model folder")


class _Config(TypedDict, total=False):
    """config.json of a model folder."""

    model_type: str | None


def model_type(folder: Path) -> str | None:
    """Return the model_type in a folder's config.json; None without a config.json."""
    config = folder / "config.json"
    if not config.is_file():
        return None
    return read_json(config, _Config, advice="copy the model's own").get("model_type")


def _hash_of_weights(folder: Path) -> str:
    files = weight_files(folder)
    if len(files) == 1:
        return sha256_of(files[0])
    return hashlib.sha256("".join(sha256_of(path) for path in files).encode()).hexdigest()


def _fetch_from_hub(repo_id: str, revision: str | None, cache: Path | None, family: Family) -> Path:
    where = f"{repo_id} (hub)"
    single = family.single_file
    try:
        return _snapshot(repo_id, revision, cache, reads_nemo=family.reads_nemo)
    except HFValidationError:
        raise InputError(f"{repo_id}: is neither a file or folder here nor a valid hub id (owner/name)") from None
    except GatedRepoError:
        raise InputError(
            f"{where}: access is gated; accept its terms on its page, then {_TOKEN_ADVICE} with that account"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(f"{where}: no such model, or it is private; check the name, or {_TOKEN_ADVICE}") from None
    except RevisionNotFoundError:
        raise InputError(f"{where}: has no revision {revision!r}") from None
    except OfflineModeIsEnabled:
        raise EartuneError(
            f"{where}: is not in the cache, and HF_HUB_OFFLINE is set; unset it, or give a folder"
        ) from None
    except LocalEntryNotFoundError:
        raise EartuneError(
            f"{where}: the hub cannot be reached and the model is not in the cache; connect this machine, "
            f"or give a local model folder{f' or {single.title}' if single else ''}"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status == 401:
            raise InputError(f"{where}: the hub refused the token; {_TOKEN_ADVICE}") from None
        raise EartuneError(f"{where}: the hub answered {status or 'with an error'}; try again later") from None
    except OSError as error:
        raise EartuneError(
            f"{where}: cannot be fetched: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from None


def _snapshot(repo_id: str, revision: str | None, cache: Path | None, *, reads_nemo: bool) -> Path:
    folder = Path(
        snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache,
            allow_patterns=[*_SETTINGS, "*.safetensors"],
            ignore_patterns=[_OF_LANGUAGES],
        )
    )
    if not weight_files(folder) and reads_nemo:
        snapshot_download(repo_id, revision=revision, cache_dir=cache, allow_patterns=["*.nemo"])
    elif not weight_files(folder):
        snapshot_download(repo_id, revision=revision, cache_dir=cache, allow_patterns=["pytorch_model*"])
    return folder
