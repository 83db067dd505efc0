"""The options of windows: what goes together, and what follows from what."""

from typing import Any

import pytest
import yaml

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError


def resolve(**options: Any) -> TrainConfig:
    given = {"train": ["t.jsonl"], "base_model": "openai/whisper-small", **options}
    return resolve_config(overrides=[override(name, value) for name, value in given.items()])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": "short", "packed_alone": 0.1}, "packed_alone: is used with window packed, and window is short"),
        ({"window": "packed", "short_margin": 2.0}, "short_margin: is used with window short, and window is packed"),
        ({"window": "padded", "packed_gap": 0.1}, "packed_gap: is used with window packed or short"),
        ({"batch_seconds": 60, "batch_size": 4}, "batch_seconds: 60 and per_device_train_batch_size both set"),
        ({"mask_time_prob": 0.2}, "mask_time_prob: is used with spec_augment only"),
        ({"cache_encoder": True, "method": "full"}, "cache_encoder: the encoder is trained"),
        ({"cache_encoder": True, "window": "packed"}, "cache_encoder: packed windows differ in each epoch"),
        ({"cache_encoder": True, "spec_augment": True}, "cache_encoder: spec_augment changes the encoder's input"),
        ({"batch_seconds": "most"}, "batch_seconds: found 'most'; expected number or auto"),
        ({"batch_seconds": 0}, "batch_seconds"),
        ({"short_full": 1.5}, "short_full"),
        ({"window": "shrot"}, "expected one of padded, packed, short. Did you mean short?"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError) as refused:
        resolve(**options)
    assert reason in str(refused.value)


def test_a_cached_encoder_sees_short_windows_and_no_packed_ones_unless_told() -> None:
    config = resolve(cache_encoder=True)
    assert (config.window.window, config.window.short_full) == ("short", 0.0)
    assert config.provenance["window"] == "default with cache_encoder"
    given = resolve(cache_encoder="disk", window="short", short_full=0.2)
    assert (given.model.cache_encoder, given.window.short_full) == ("disk", 0.2)
    assert resolve(cache_encoder=True, window="padded").window.window == "padded"


def test_auto_goes_with_a_number_of_utterances() -> None:
    config = resolve(batch_seconds="auto", batch_size=4)
    assert config.window.batch_seconds == "auto"
    assert resolve(batch_seconds="45").window.batch_seconds == 45.0


@pytest.mark.parametrize("options", [{}, {"method": "full"}, {"window": "short"}, {"cache_encoder": True}])
def test_a_resolved_configuration_resolves_to_itself(options: dict[str, Any], tmp_path: Any) -> None:
    config = resolve(**options)
    shown = {name: value for name, value in config.values().items() if value is not None}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(shown), encoding="utf-8")
    assert resolve_config(files=[tmp_path / "c.yaml"]).values() == config.values()
