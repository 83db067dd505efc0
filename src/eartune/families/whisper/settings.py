"""generation_config.json of a Whisper: which tokens begin and end its texts, and which are never written."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from eartune.families.whisper.timestamps import NUM_TIMESTAMPS
from eartune.model_folder import TokenId


class WhisperSettings(BaseModel):
    """The file as it may be; what is missing or null is completed from the tokenizer."""

    is_multilingual: bool | None = None
    lang_to_id: dict[str, TokenId] | None = None
    task_to_id: dict[str, TokenId] | None = None
    decoder_start_token_id: TokenId | None = None
    no_timestamps_token_id: TokenId | None = None
    eos_token_id: TokenId | None = None
    pad_token_id: TokenId | None = None
    bos_token_id: TokenId | None = None
    suppress_tokens: list[TokenId] | None = None
    begin_suppress_tokens: list[TokenId] | None = None
    max_initial_timestamp_index: Annotated[int, Field(ge=0, lt=NUM_TIMESTAMPS)] | None = None

    def named_tokens(self) -> dict[str, list[int]]:
        """Return the tokens that each key names."""
        found: dict[str, list[int]] = {}
        for key, value in self:
            if isinstance(value, dict):
                found[key] = list(value.values())
            elif isinstance(value, list):
                found[key] = value
            elif key.endswith("_token_id") and value is not None:
                found[key] = [value]
        return found


class CompleteWhisperSettings(WhisperSettings):
    """The file of a folder that is decoded without its tokenizer's help."""

    is_multilingual: bool
    decoder_start_token_id: TokenId
    no_timestamps_token_id: TokenId
    eos_token_id: TokenId
    max_initial_timestamp_index: Annotated[int, Field(ge=0, lt=NUM_TIMESTAMPS)]
