"""States of a frozen encoder: found by content, never stale, and the same as computed."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import EartuneError, InputError
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.manifest import Utterance
from eartune.training import encoder_states
from eartune.training.encoder_cache import Keys
from eartune.training.encoder_states import InMemory, OnDisk, open_store
from eartune.verbs.train import train


@pytest.fixture
def clip(tmp_path: Path) -> Utterance:
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    return Utterance(path, "one", 1.0, language="en")


@pytest.fixture
def encoder(tiny_model: Path) -> torch.nn.Module:
    return load(find(str(tiny_model))).network.model.encoder


def test_a_key_is_found_again_and_changes_with_all_that_changes_the_state(
    clip: Utterance, encoder: torch.nn.Module, tmp_path: Path
) -> None:
    key = Keys(encoder, arithmetic="bf16").key(clip, 5.12)
    moved = tmp_path / "b.wav"
    shutil.copy(clip.audio, moved)
    assert Keys(encoder, arithmetic="bf16").key(Utterance(moved, "other text", 1.0), 5.12) == key
    others = [
        Keys(encoder, arithmetic="bf16").key(clip, 2.56),
        Keys(encoder, arithmetic="fp32").key(clip, 5.12),
        Keys(encoder, arithmetic="bf16").key(Utterance(clip.audio, "one", 1.0, offset_s=0.1), 5.12),
        Keys(encoder, arithmetic="bf16").key(Utterance(clip.audio, "one", 0.9), 5.12),
    ]
    samples, _ = soundfile.read(clip.audio)
    samples[8_000] += 0.01
    soundfile.write(clip.audio, samples, 16_000)
    others.append(Keys(encoder, arithmetic="bf16").key(clip, 5.12))
    with torch.no_grad():
        encoder.layers[1].fc1.weight[0, 0] += 1e-3  # type: ignore[union-attr, index]
    others.append(Keys(encoder, arithmetic="bf16").key(Utterance(moved, "", 1.0), 5.12))
    assert len({key, *others}) == 7


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_store_gives_back_what_was_put(kind: str, tmp_path: Path) -> None:
    store = InMemory() if kind == "memory" else OnDisk(tmp_path)
    state = torch.randn(64, 32).bfloat16()
    assert "ab12" not in store
    assert store.get("ab12") is None
    store.put("ab12", state)
    assert "ab12" in store
    found = store.get("ab12")
    assert found is not None
    assert torch.equal(found, state)


def test_a_damaged_file_counts_as_missing(tmp_path: Path) -> None:
    store = OnDisk(tmp_path)
    store.put("ab12", torch.zeros(64, 32).bfloat16())
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:50])
    assert store.get("ab12") is None
    assert "ab12" not in store


def test_states_go_where_they_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EARTUNE_CACHE", str(tmp_path))
    assert isinstance(open_store(True, num_bytes=1000), InMemory)
    assert isinstance(open_store("disk", num_bytes=1000), OnDisk)
    too_much = psutil.virtual_memory().total
    with pytest.raises(EartuneError, match=r"the states take .* GiB, and memory has .* set cache_encoder disk"):
        open_store("memory", num_bytes=too_much)
    monkeypatch.setattr(encoder_states, "MEMORY_SHARE", 0.0)
    assert isinstance(open_store(True, num_bytes=1000), OnDisk)
    with pytest.raises(EartuneError, match="set EARTUNE_CACHE to a folder on a larger disk"):
        open_store(True, num_bytes=10**18)


def configure(model: Path, speech: Path, out: Path, **options: Any) -> TrainConfig:
    given = {
        "base_model": str(model), "train": [str(speech)], "output_dir": str(out), "num_train_epochs": 3,
        "batch_size": 2, "precision": "fp32", "num_workers": 0, "method": "full", "freeze_encoder": True, "lr": 1e-3,
        "cache_encoder": True, "window": "short", **options,
    }  # fmt: skip
    return resolve_config(overrides=[override(name, value) for name, value in given.items()])


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of clips of each call of the encoder."""
    calls: list[int] = []
    encode = WhisperModel.encode

    def counted(self: WhisperModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        calls.append(len(inputs["input_features"]))
        return encode(self, inputs)

    monkeypatch.setattr(WhisperModel, "encode", counted)
    return calls


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(path / "last" / "model.safetensors")
    return found


@pytest.mark.parametrize("kind", [True, "disk"])
def test_each_clip_is_encoded_once_and_the_model_is_the_same(
    kind: Any, tiny_model: Path, tiny_speech: Path, tmp_path: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTUNE_CACHE", str(tmp_path / "cache"))
    kept = train(configure(tiny_model, tiny_speech, tmp_path / "kept", cache_encoder=kind))
    # six clips, and one second of silence to learn the size
    assert sum(encoded) == 6 + 1
    encoded.clear()
    monkeypatch.setattr(InMemory, "get", lambda *_: None)
    monkeypatch.setattr(InMemory, "__contains__", lambda *_: False)
    again = train(configure(tiny_model, tiny_speech, tmp_path / "again", cache_encoder="memory"))
    assert sum(encoded) == 3 * 6 + 1
    assert all(torch.equal(found, weights(again.path)[name]) for name, found in weights(kept.path).items())
    if kind == "disk":
        encoded.clear()
        train(configure(tiny_model, tiny_speech, tmp_path / "third", cache_encoder=kind))
        assert sum(encoded) == 1


def test_a_trained_encoder_is_refused(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cache_encoder: the encoder is trained, so it changes: set freeze_encoder"):
        configure(tiny_model, tiny_speech, tmp_path / "run", freeze_encoder=False)
    options = {"method": "lora", "freeze_encoder": False}
    with pytest.raises(InputError, match=r"are trained, such as .*; set freeze_encoder true"):
        train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_adapters_in_the_decoder_alone_leave_the_encoder_frozen(
    precision: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path, encoded: list[int]
) -> None:
    options = {
        "precision": precision,
        "method": "lora",
        "freeze_encoder": False,
        "target_modules": r".*decoder.*(q_proj|v_proj)",
    }
    train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    assert sum(encoded) == 6 + 1
