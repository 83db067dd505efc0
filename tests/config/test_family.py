"""What a family decides of the configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError


def resolve(family: str | None, base_model: str = "x.nemo", **options: Any) -> TrainConfig:
    given = {"train": ["t.jsonl"], "base_model": base_model, **options}
    return resolve_config(family, overrides=[override(name, value) for name, value in given.items()])


@pytest.mark.parametrize("family", ["canary", "parakeet"])
def test_clips_are_seen_in_their_own_length(family: str, tmp_path: Path) -> None:
    config = resolve(family)
    assert (config.window.window, config.window.short_margin, config.window.short_full) == ("short", 0.0, 0.0)
    assert config.validation.eval_window == "short"
    written = tmp_path / "config.yaml"
    shown = {name: value for name, value in config.values().items() if value is not None}
    written.write_text(yaml.safe_dump(shown))
    assert resolve_config(files=[written]).values() == config.values(), "a written configuration means the same"


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("canary", {"window": "packed"}, "window: is for models with a fixed window, and Canary encodes"),
        ("parakeet", {"eval_window": "padded"}, "eval_window: is for models with a fixed window, and Parakeet"),
        ("parakeet", {"short_margin": 1.0}, "short_margin: is for models with a fixed window"),
        ("canary", {"cache_encoder": True, "freeze_encoder": True}, "cache_encoder: is for models with a fixed window"),
        ("canary", {"extend_vocabulary": True}, "extend_vocabulary: the vocabulary of a Canary cannot be extended"),
        ("whisper", {"extend_vocabulary": True}, "extend_vocabulary: Whisper has a token for every byte"),
        ("parakeet", {"label_smoothing_factor": 0.1}, "label_smoothing_factor: applies to cross-entropy"),
        ("parakeet", {"task": "translate"}, "task: Parakeet cannot translate, only transcribe; whisper and canary can"),
        ("parakeet", {"generation_num_beams": 4}, "generation_num_beams: Parakeet is decoded greedily"),
    ],
)
def test_options_of_other_families_are_refused(family: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(family, **options)


def test_the_family_is_that_of_the_base_model_where_none_is_named() -> None:
    def told(base_model: str) -> str | None:
        return {"c.nemo": "canary"}.get(base_model)

    found = resolve_config(overrides=[override("base_model", "c.nemo")], complete=False, family_of=told)
    assert found.family == "canary"
    assert found.window.window == "short"
    assert resolve_config(overrides=[override("base_model", "w")], complete=False, family_of=told).family == "whisper"
    named = resolve_config("parakeet", overrides=[override("base_model", "c.nemo")], complete=False, family_of=told)
    assert named.family == "parakeet"
