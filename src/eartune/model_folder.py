"""Files of a Hugging Face model folder beside its weights: what they must hold, and what transformers makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired, TypeAlias, TypeVar

from pydantic import BaseModel, Field
from transformers import GenerationConfig
from typing_extensions import TypedDict

from eartune.errors import InputError, explained
from eartune.parsing import JsonObject, check_shape, read_json
from eartune.weights import RELOAD_ADVICE

T = TypeVar("T")
CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
# of dropout: at 1 nothing is left
Rate: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
# ten times the largest of the published models, and more
Size: TypeAlias = Annotated[int, Field(ge=1, le=10_000_000)]
TokenId: TypeAlias = Annotated[int, Field(ge=0, le=10_000_000)]


class _AddedToken(TypedDict):
    content: str


_Token: TypeAlias = str | _AddedToken
_Tokens: TypeAlias = list[_Token] | dict[str, _Token] | None


class _TokenizerConfig(BaseModel):
    """tokenizer_config.json, as far as wrong values are found late."""

    tokenizer_class: str | None = None
    bos_token: _Token | None = None
    eos_token: _Token | None = None
    unk_token: _Token | None = None
    pad_token: _Token | None = None
    extra_special_tokens: _Tokens = None
    additional_special_tokens: _Tokens = None
    added_tokens_decoder: dict[str, _AddedToken] | None = None
    model_max_length: float | None = None
    clean_up_tokenization_spaces: bool | None = None
    chat_template: str | list[Any] | dict[str, Any] | None = None


class _Added(TypedDict):
    id: TokenId
    content: str


class _Tokenizer(TypedDict):
    """tokenizer.json. A vocabulary of BPE is a mapping; the library tokenizers makes room up to its largest number."""

    model: JsonObject
    added_tokens: NotRequired[list[_Added] | None]


_TOKENIZER_SHAPES: Mapping[str, Any] = {
    "tokenizer_config.json": _TokenizerConfig,
    "special_tokens_map.json": JsonObject,
    "vocab.json": dict[str, TokenId],
    "added_tokens.json": dict[str, TokenId],
    "normalizer.json": dict[str, str],
}


def read_network_config(folder: Path, config_class: Any, shape: type[BaseModel]) -> Any:
    """Read a folder's config.json as a `config_class` of transformers, which checks most of its types.

    `shape` is what transformers takes as it comes, and the network fails with later. Raises InputError that names the
    file.
    """
    path = folder / CONFIG
    read_json(path, shape, advice=RELOAD_ADVICE)
    with explained(path, "cannot be used", advice=RELOAD_ADVICE):
        return config_class.from_pretrained(folder, local_files_only=True)


class ExtractorSettings(NamedTuple):
    """A folder's settings of features, not checked, and where they stand, for messages."""

    where: str
    values: object


def read_extractor_settings(folder: Path, *, advice: str) -> ExtractorSettings | None:
    """Read the feature extractor's settings, wherever the version that wrote the folder has put them.

    None where the folder has none. Raises InputError for files that are not JSON objects.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if path.exists():
            settings = read_json(path, JsonObject, advice=advice)
            within = "feature_extractor" in settings
            where = f"{path}: feature_extractor" if within else str(path)
            return ExtractorSettings(where, settings["feature_extractor"] if within else settings)
    return None


def read_generation_config(folder: Path, shape: type[T]) -> T | None:
    """Read a folder's generation_config.json as a `shape`; None where it has none.

    Raises InputError where it is not of that shape, or transformers cannot use it.
    """
    path = folder / GENERATION_CONFIG
    if not path.exists():
        return None
    found = read_json(path, shape, advice=RELOAD_ADVICE)
    with explained(path, "cannot be used", advice=RELOAD_ADVICE):
        GenerationConfig.from_pretrained(folder, local_files_only=True)
    return found


def require_tokenizer_files(folder: Path, *, advice: str) -> None:
    """Raise InputError, by file, where a folder's tokenizer is described by values of other types."""
    for name, shape in _TOKENIZER_SHAPES.items():
        if (folder / name).exists():
            read_json(folder / name, shape, advice=advice)
    path = folder / "tokenizer.json"
    if path.exists():
        vocabulary = read_json(path, _Tokenizer, advice=advice)["model"].get("vocab")
        if isinstance(vocabulary, dict):
            check_shape(vocabulary, dict[str, TokenId], where=f"{path}: model.vocab", advice=advice)


def require_tokens(named: Mapping[str, Iterable[int]], num_tokens: int, *, where: str) -> None:
    """Raise InputError where a setting names tokens that a network of `num_tokens` tokens has not."""
    for name, tokens in named.items():
        beyond = [token for token in tokens if not 0 <= token < num_tokens]
        if beyond:
            raise InputError(
                f"{where}: {name} names token {beyond[0]}, and the network has {num_tokens} tokens; {RELOAD_ADVICE}"
            )
