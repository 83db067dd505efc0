"""Files whose tensors are not weights are refused by the tensor's name: values, types, names twice, other sizes."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration

from eartune.errors import InputError
from eartune.families.registry import family
from eartune.training.adaptation.adapter_files import load_adapter
from eartune.weights import is_finite

Change = Callable[[torch.Tensor], torch.Tensor]
BIAS = "model.encoder.conv1.bias"


def with_value(value: float) -> Change:
    def changed(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return changed


ODD: dict[str, tuple[Change, str]] = {
    "NaN": (with_value(float("nan")), "1 of the 32 values of {} are NaN or infinite"),
    "infinity": (with_value(float("-inf")), "1 of the 32 values of {} are NaN or infinite"),
    "beyond float32": (lambda t: with_value(1e300)(t.double()), "1 of the 32 values of {} are NaN or infinite"),
    "complex": (lambda t: t.to(torch.complex64), "{} is complex64, but weights must be floating point"),
    "boolean": (lambda t: t > 0, "{} is bool, but weights must be floating point"),
    "integer": (lambda t: t.long(), "{} is int64, but weights must be floating point"),
    "quantised": (
        lambda t: (t * 100).to(torch.int8),
        "{} is int8, but weights must be floating point; use the",
    ),
    "float8": (lambda t: t.to(torch.float8_e4m3fn), "{} is float8_e4m3fn, but weights must be floating point"),
}


@pytest.fixture(scope="module")
def whisper_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder") / "model"
    family_module = family("whisper")
    family_module.load(family_module.find(str(tiny_model))).save(folder)
    return folder


def copied(folder: Path, out: Path, *, weights: Mapping[str, torch.Tensor] | None = None, **settings: Any) -> Path:
    """Copy a model folder with other weights or settings."""
    shutil.copytree(folder, out)
    if weights is not None:
        save_file(dict(weights), out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | settings))
    return out


def refusal(path: Path, name: str = "whisper") -> str:
    family_module = family(name)
    with pytest.raises(InputError) as refused:
        family_module.load(family_module.find(str(path)))
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("odd", ODD)
def test_a_folder_with_a_tensor_that_is_no_weight_is_refused_by_its_name(
    odd: str, whisper_folder: Path, tmp_path: Path
) -> None:
    change, expected = ODD[odd]
    weights = load_file(whisper_folder / "model.safetensors")
    weights[BIAS] = change(weights[BIAS])
    assert expected.format(BIAS) in refusal(copied(whisper_folder, tmp_path / "model", weights=weights))


@pytest.mark.parametrize("odd", ["NaN", "complex", "integer"])
def test_pickled_weights_are_refused_by_name(odd: str, whisper_folder: Path, tmp_path: Path) -> None:
    change, expected = ODD[odd]
    folder = copied(whisper_folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights | {BIAS: change(weights[BIAS])}, folder / "pytorch_model.bin")
    assert expected.format(BIAS) in refusal(folder)


@pytest.mark.parametrize("odd", ["NaN", "infinity", "complex", "boolean", "quantised"])
def test_openai_checkpoints_are_refused_by_name(odd: str, tiny_model: Path, tmp_path: Path) -> None:
    change, expected = ODD[odd]
    checkpoint = torch.load(tiny_model)
    weights = checkpoint["model_state_dict"]
    weights["encoder.conv1.bias"] = change(weights["encoder.conv1.bias"])
    torch.save(checkpoint, tmp_path / "model.pt")
    assert expected.format("encoder.conv1.bias") in refusal(tmp_path / "model.pt")


def test_the_number_of_such_weights_is_told(whisper_folder: Path, tmp_path: Path) -> None:
    weights = {
        name: torch.full_like(value, torch.nan)
        for name, value in load_file(whisper_folder / "model.safetensors").items()
    }
    message = refusal(copied(whisper_folder, tmp_path / "model", weights=weights))
    assert f"({len(weights)} such weights in all)" in message


def rename_in_header(path: Path, old: str, new: str) -> None:
    """Change a name in a safetensors file to another of the same length."""
    assert len(old) == len(new)
    content = path.read_bytes()
    assert content.count(f'"{old}"'.encode()) == 1
    path.write_bytes(content.replace(f'"{old}"'.encode(), f'"{new}"'.encode()))


def test_a_header_that_names_a_tensor_twice_is_refused(whisper_folder: Path, tmp_path: Path) -> None:
    folder = copied(whisper_folder, tmp_path / "model")
    rename_in_header(folder / "model.safetensors", "model.encoder.conv2.bias", BIAS)
    assert f"header: has {BIAS!r} twice" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a pointer of Git LFS"),
        (b"<!doctype html><title>404</title>", "model.safetensors: is damaged: its header is longer than the file"),
        (b"", "model.safetensors: is damaged"),
        (
            (400_001).to_bytes(8, "little") + b"[" * 200_000 + b"]" * 200_001,
            "model.safetensors: header:1: is nested more",
        ),
        ((2).to_bytes(8, "little") + b"[]", "model.safetensors: header: is a list, and should be a valid mapping"),
        ((8).to_bytes(8, "little") + b'{"a": 1}', "model.safetensors: header: a is 1, and should be a valid mapping"),
        ((9).to_bytes(8, "little") + b'{"a": {}}', "model.safetensors: header: has no a.dtype"),
    ],
    ids=["LFS", "HTML", "empty", "deep", "list", "number", "nothing"],
)
def test_files_that_are_no_safetensors_are_refused_in_a_line(
    content: bytes, expected: str, whisper_folder: Path, tmp_path: Path
) -> None:
    folder = copied(whisper_folder, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(content)
    assert expected in refusal(folder)


def test_two_shards_with_one_tensor_are_refused(whisper_folder: Path, tmp_path: Path) -> None:
    folder = copied(whisper_folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {"one.safetensors": weights, "two.safetensors": {BIAS: 2 * weights[BIAS]}}
    for name, held in shards.items():
        save_file(held, folder / name, metadata={"format": "pt"})
    index = {"weight_map": dict.fromkeys(weights, "one.safetensors") | {BIAS: "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"{BIAS} is in one.safetensors and in two.safetensors" in refusal(folder)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"encoder_layers": 10**6}, r"has 1000000 layers (encoder_layers), but its weights have 2"),
        ({"decoder_layers": 1}, r"has 1 layers (decoder_layers), but its weights have 2"),
        ({"d_model": 2 * 10**6}, "is [448, 32], but [448, 2000000] in its configuration"),
        ({"vocab_size": 10**12}, "but [1000000000000, 32] in its configuration"),
        ({"max_source_positions": 10**9}, "config.json: max_source_positions is 1000000000, and should be less than"),
    ],
)
def test_a_configuration_that_promises_other_sizes_is_refused_before_a_network_is_built(
    settings: dict[str, int], expected: str, whisper_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(whisper_folder, tmp_path / "model", **settings)
    monkeypatch.setattr(WhisperForConditionalGeneration, "from_pretrained", None)
    began = time.process_time()
    assert expected in refusal(folder)
    assert time.process_time() - began < 20


def test_an_openai_checkpoint_that_promises_more_layers_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(tiny_model)
    checkpoint["dims"]["n_audio_layer"] = 10**5
    torch.save(checkpoint, tmp_path / "model.pt")
    assert "has 100000 layers (encoder_layers), but its weights have 2" in refusal(tmp_path / "model.pt")


@pytest.mark.parametrize("kind", ["hybrid", "canary"])
def test_folders_of_nemo_s_models_are_refused_by_name(kind: str, tiny_nemo: dict[str, Path], tmp_path: Path) -> None:
    name = "canary" if kind == "canary" else "parakeet"
    family_module = family(name)
    family_module.load(family_module.find(str(tiny_nemo[kind]))).save(tmp_path / "sound")
    weights = load_file(tmp_path / "sound" / "model.safetensors")
    # batch norms count their batches in whole numbers
    assert any(value.dtype == torch.int64 for value in weights.values())
    family_module.load(family_module.find(str(tmp_path / "sound")))
    weight = next(each for each in weights if each.endswith("encoder.layers.1.norm_conv.weight"))
    odd = weights | {weight: with_value(float("inf"))(weights[weight])}
    assert f"1 of the 16 values of {weight} are NaN or inf" in refusal(
        copied(tmp_path / "sound", tmp_path / "odd", weights=odd), name
    )
    config = json.loads((tmp_path / "sound" / "config.json").read_text())["encoder_config"]
    deep = copied(tmp_path / "sound", tmp_path / "deep", encoder_config=config | {"num_hidden_layers": 10**6})
    assert "has 1000000 layers (encoder_config.num_hidden_layers)" in refusal(deep, name)


def test_adapters_are_refused_by_name(whisper_folder: Path, tmp_path: Path) -> None:
    family_module = family("whisper")
    network = family_module.load(family_module.find(str(whisper_folder))).network
    get_peft_model(network, LoraConfig(target_modules=["q_proj"], r=2)).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    sound = load_file(path)
    name = next(iter(sound))
    for odd in ("NaN", "complex", "integer"):
        change, expected = ODD[odd]
        save_file(sound | {name: change(sound[name])}, path)
        with pytest.raises(InputError, match=expected.format(".*").replace("32", r"\d+")) as refused:
            load_adapter(network, tmp_path)
        assert name in str(refused.value)


def test_large_finite_values_are_finite() -> None:
    assert is_finite(torch.full((100,), 3e38))
    assert is_finite(torch.full((100,), 6e4, dtype=torch.float16))
    assert not is_finite(torch.tensor([float("inf"), float("-inf")]))
    assert is_finite(torch.zeros(0))
