"""Load a Parakeet base model from where it lies."""

from __future__ import annotations

from pathlib import Path

from eartune.base_model import BaseModel
from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.base import parts_of
from eartune.families._nemo.folder import load_folder
from eartune.families._nemo.more_tokens import extended_members
from eartune.families._nemo.write_archive import write_archive
from eartune.families.parakeet.configuration import read_spec
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.network import network_class, prepare_network
from eartune.families.parakeet.processor import require_blank
from eartune.families.parakeet.streaming import complete
from eartune.families.parakeet.vocabulary import added_since
from eartune.families.parakeet.weights import from_nemo, rows_for_more_tokens, to_nemo
from eartune.model import SpeechModel


def load(base: BaseModel, *, task: str = "transcribe", language: str | None = None) -> ParakeetModel:
    """Load a base model in float32 on the CPU. Raises InputError for files that are damaged or cannot be mapped."""
    if task != "transcribe":
        raise InputError(f"task: Parakeet only transcribes, and cannot {task}; take a Canary or a Whisper")
    if base.kind == "nemo":
        spec = read_spec(read_archive(base.path))
        network, (tokenizer, log_mel) = from_nemo(spec), parts_of(spec)
    else:
        network, tokenizer, log_mel = load_folder(base.path, network_class, prepare_network)
        complete(network, base.path)
        require_blank(network, tokenizer, where=str(base.path / "tokenizer.json"))
    return ParakeetModel(network, tokenizer, log_mel, language=language)


def write_nemo(model: SpeechModel, original: Path, out: Path) -> None:
    """Write a copy of the archive `original` with the model's weights, and the tokens that it was given since.

    Raises InputError where they do not fit.
    """
    assert isinstance(model, ParakeetModel)
    spec = read_spec(read_archive(original))
    added = added_since(model, spec)
    more_rows = rows_for_more_tokens(spec, len(added)) if added else {}
    replaced = extended_members(spec.archive, spec.tokenizer.files, added) if added else {}
    weights = to_nemo(model.network.state_dict(), spec, more_rows=more_rows)
    write_archive(spec.archive, out, weights, replaced=replaced, more_rows=more_rows)
