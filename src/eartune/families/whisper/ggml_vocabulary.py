"""A tokenizer in whisper.cpp's form: the bytes of its text tokens, and special tokens implied by their number."""

from __future__ import annotations

from dataclasses import dataclass

from transformers.convert_slow_tokenizer import bytes_to_unicode

from eartune.errors import InputError
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.tokenizer import special_tokens

# whisper_vocab in whisper.cpp: the id of <|endoftext|>, and the number of languages
_ENGLISH_END, _MULTILINGUAL_END = 50256, 50257
_ENGLISH_LANGUAGES = 99
_MIN_LANGUAGES = 99
# older name -> current name of the same token
_CURRENT_NAMES = {"<|nocaptions|>": "<|nospeech|>"}


@dataclass(frozen=True)
class Vocabulary:
    """The bytes of all text tokens in the order of their ids, and the number of tokens including special ones."""

    tokens: tuple[bytes, ...]
    size: int


def vocabulary_of(model: WhisperModel) -> Vocabulary:
    """Return the vocabulary of a model; raise InputError where whisper.cpp would assign its tokens other ids.

    whisper.cpp does not store special tokens: it derives their ids from the number of tokens.
    """
    multilingual = bool(model.network.generation_config.is_multilingual)
    ids: dict[str, int] = model.tokenizer.get_vocab()
    end = _MULTILINGUAL_END if multilingual else _ENGLISH_END
    num_languages = _num_languages(ids, end) if multilingual else _ENGLISH_LANGUAGES
    expected = {token: end + number for number, token in enumerate(special_tokens(num_languages=num_languages))}
    unexpected = sorted(
        (number, token)
        for token, number in ids.items()
        if number >= end and expected.get(_CURRENT_NAMES.get(token, token)) != number
    )
    if unexpected:
        number, token = unexpected[0]
        raise InputError(
            f"the model cannot be written for whisper.cpp: its token {number} is {token!r}, one of {len(unexpected)} "
            "not in OpenAI's order, from which whisper.cpp derives the ids of special tokens; tokens cannot be added"
        )
    size = end + len(expected)
    rows = model.network.get_input_embeddings().weight.shape[0]
    if rows < size:
        raise InputError(
            f"the model cannot be written for whisper.cpp: its embedding has {rows} rows, and OpenAI's has {size}"
        )
    # English-only vocabularies (GPT-2) include <|endoftext|>, and so do the published ggml files
    return Vocabulary(_text_tokens(ids, end if multilingual else end + 1), size)


def _num_languages(ids: dict[str, int], end: int) -> int:
    # <|endoftext|>, <|startoftranscript|>, the languages, <|translate|>
    found = ids.get("<|translate|>", 0) - end - 2
    if found < _MIN_LANGUAGES:
        raise InputError(
            f"the model cannot be written for whisper.cpp: its tokenizer has {max(found, 0)} languages before "
            f"<|translate|>, and whisper.cpp needs at least {_MIN_LANGUAGES}"
        )
    return found


def _text_tokens(ids: dict[str, int], count: int) -> tuple[bytes, ...]:
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    texts = {number: token for token, number in ids.items() if number < count}
    if len(texts) < count:
        raise InputError(
            f"the model cannot be written for whisper.cpp: its tokenizer has {len(texts)} text tokens of {count}"
        )
    try:
        return tuple(bytes(byte_of[character] for character in texts[number]) for number in range(count))
    except KeyError as error:
        raise InputError(
            f"the model cannot be written for whisper.cpp: a text token holds {error.args[0]!r}, which is not a byte"
        ) from None
