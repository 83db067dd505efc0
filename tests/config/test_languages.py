"""The options of languages: any name is read, and what no model can hear is said before one is loaded."""

from typing import Any

import pytest

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError


def resolve(**options: Any) -> TrainConfig:
    given = {"train": ["t.jsonl"], "base_model": "openai/whisper-small", **options}
    return resolve_config(overrides=[override(name, value) for name, value in given.items()])


@pytest.mark.parametrize(("name", "code"), [("Russian", "ru"), ("ru-RU", "ru"), ("<|ru|>", "ru"), ("cnh", "cnh")])
def test_a_language_is_kept_as_its_code(name: str, code: str) -> None:
    assert resolve(language=name).data.language == code
    assert resolve(language=name).run.run_name == f"whisper-small-{code}-lora"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"language": "Rusian"}, "language: language 'Rusian' is not known; .* Did you mean russian"),
        ({"language_token": "cnh=Burmee"}, "language_token: language 'Burmee' is not known"),
        ({"language_token": "ru,en"}, "ru and en both stand in for every language"),
        ({"language_token": "ru", "family": "parakeet"}, "language_token: is for models with language tokens"),
    ],
)
def test_languages_that_are_not_known_are_named(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        resolve(**options)
