"""ggml files: the published ones to the last byte, every weight within its precision, and what is refused."""

import base64
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from peft import LoraConfig, get_peft_model
from transformers import WhisperForConditionalGeneration

from eartune.errors import InputError
from eartune.families.whisper import ggml
from eartune.families.whisper.ggml import openai_mel_filters, write_ggml
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai import generation_config, network_config
from eartune.families.whisper.tokenizer import build_tokenizer
from tests.families.whisper.ggml_reader import read_ggml

ASSETS = Path(whisper.__file__).parent / "assets"

# sha1 of the files at huggingface.co/ggerganov/whisper.cpp, as listed by whisper.cpp's models/README.md (f16) and by
# whisper-rs's and other programs that fetch them (q8_0). The published q5_1 of both differ from what whisper.cpp's own
# quantisation writes today, and so from ours; test_ggml_quantize.py compares with that.
PUBLISHED = {
    ("tiny", "f16"): "bd577a113a864445d4c299885e0cb97d4ba92b5f",
    ("tiny", "q8_0"): "19e8118f6652a650569f5a949d962154e01571d9",
    ("tiny.en", "f16"): "c78c86eb1a8faa21b369bcd33207cc90d64ae9df",
    ("tiny.en", "q8_0"): "802d6668e7d411123e672abe4cb6c18f12306abb",
}


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_tiny_en_becomes_the_published_file(real_tiny_en: Path, tmp_path: Path, kind: ggml.GgmlKind) -> None:
    write_ggml(load(find(str(real_tiny_en))), tmp_path / "model.bin", kind=kind)
    assert hashlib.sha1((tmp_path / "model.bin").read_bytes()).hexdigest() == PUBLISHED["tiny.en", kind]


@pytest.mark.real_speech
@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_tiny_of_the_hub_becomes_the_published_file(shared_dir: Path, tmp_path: Path, kind: ggml.GgmlKind) -> None:
    """Its float32 weights are OpenAI's float16 ones, so that nothing is lost on the way back."""
    write_ggml(load(find(str(shared_dir / "models" / "whisper-tiny"))), tmp_path / "model.bin", kind=kind)
    assert hashlib.sha1((tmp_path / "model.bin").read_bytes()).hexdigest() == PUBLISHED["tiny", kind]


# the error of rounding, in parts of the largest weight of a block, and of its scale in float16
HALF_A_STEP = {
    "f32": 0.0,
    "f16": 2**-11,
    "q8_0": 0.5 / 127,
    "q5_1": 1 / 31,
    "q5_0": 1 / 16,
    "q4_1": 1 / 15,
    "q4_0": 1 / 8,
}
SCALE_ERROR = 2**-10


@pytest.mark.parametrize("kind", HALF_A_STEP)
@pytest.mark.parametrize("name", ["tiny_model", "tiny_english_model"])
def test_every_weight_is_there_under_openais_name(
    name: str, kind: ggml.GgmlKind, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    checkpoint = request.getfixturevalue(name)
    write_ggml(load(find(str(checkpoint))), tmp_path / "model.bin", kind=kind)
    tensors = read_ggml(tmp_path / "model.bin").tensors
    expected = torch.load(checkpoint, weights_only=True)["model_state_dict"]
    assert tensors.keys() == expected.keys()
    for tensor_name, tensor in tensors.items():
        weight = expected[tensor_name].float().numpy()
        if tensor_name in ("encoder.conv1.bias", "encoder.conv2.bias"):
            weight = weight[:, None]
        small = weight.ndim == 1 or "bias" in tensor_name or "positional" in tensor_name
        convolution = weight.ndim == 3 and kind != "f32"
        assert tensor.kind == ("f32" if small else "f16" if convolution else kind), tensor_name
        assert tensor.values.shape == weight.shape
        if tensor.kind in ("f32", "f16"):
            # the checkpoint itself is float16
            assert np.array_equal(tensor.values, weight), tensor_name
        else:
            largest = np.abs(weight.reshape(-1, 32)).max(axis=1, keepdims=True)
            error = np.abs(tensor.values - weight).reshape(-1, 32) / largest
            assert error.max() <= HALF_A_STEP[kind] + 2 * SCALE_ERROR, tensor_name
            assert error.max() > HALF_A_STEP[kind] / 4


def speech_of(*, num_vocabulary: int = 51866, num_mels: int = 128, text_layers: int = 1) -> WhisperModel:
    """Return a random model in the shape of large-v3-turbo: 128 mel bins, 100 languages, few decoder layers."""
    torch.manual_seed(0)
    multilingual = num_vocabulary >= 51865
    tokenizer = build_tokenizer(multilingual=multilingual, num_languages=num_vocabulary - 51765 - multilingual)
    sizes = {
        "n_mels": num_mels, "n_vocab": num_vocabulary, "n_audio_ctx": 1500, "n_audio_state": 64, "n_audio_head": 2,
        "n_audio_layer": 3, "n_text_ctx": 448, "n_text_state": 64, "n_text_head": 4, "n_text_layer": text_layers,
    }  # fmt: skip
    network = WhisperForConditionalGeneration(network_config(sizes, tokenizer)).eval()
    network.generation_config = generation_config(tokenizer, multilingual=multilingual)
    return WhisperModel(network, tokenizer)


def test_sizes_of_a_model_with_fewer_decoder_layers_and_128_mel_bins(tmp_path: Path) -> None:
    write_ggml(speech_of(), tmp_path / "model.bin", kind="q5_0")
    written = read_ggml(tmp_path / "model.bin")
    assert written.sizes == {
        "n_vocab": 51866, "n_audio_ctx": 1500, "n_audio_state": 64, "n_audio_head": 2, "n_audio_layer": 3,
        "n_text_ctx": 448, "n_text_state": 64, "n_text_head": 4, "n_text_layer": 1, "n_mels": 128, "ftype": 2008,
    }  # fmt: skip
    assert {name.split(".")[2] for name in written.tensors if name.startswith("decoder.blocks")} == {"0"}
    assert {name.split(".")[2] for name in written.tensors if name.startswith("encoder.blocks")} == {"0", "1", "2"}


@pytest.mark.parametrize(("kind", "number"), [("f32", 0), ("f16", 1), ("q4_0", 2002), ("q4_1", 2003), ("q8_0", 2007)])
def test_the_kind_of_a_file_is_ggmls_number(tmp_path: Path, kind: ggml.GgmlKind, number: int) -> None:
    write_ggml(speech_of(), tmp_path / "model.bin", kind=kind)
    assert read_ggml(tmp_path / "model.bin").sizes["ftype"] == number


@pytest.mark.parametrize("num_mels", [80, 128])
def test_mel_filters_are_openais(num_mels: int) -> None:
    expected = np.load(ASSETS / "mel_filters.npz")[f"mel_{num_mels}"]
    found = openai_mel_filters(num_mels)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert not np.signbit(found).any()


@pytest.mark.parametrize(
    ("num_vocabulary", "file", "after"),
    [(51864, "gpt2", [b"<|endoftext|>"]), (51865, "multilingual", []), (51866, "multilingual", [])],
)
def test_tokens_are_the_bytes_of_openais_vocabulary(
    tmp_path: Path, num_vocabulary: int, file: str, after: list[bytes]
) -> None:
    write_ggml(speech_of(num_vocabulary=num_vocabulary), tmp_path / "model.bin", kind="f16")
    lines = (ASSETS / f"{file}.tiktoken").read_bytes().splitlines()
    expected = [base64.b64decode(line.split()[0]) for line in lines]
    written = read_ggml(tmp_path / "model.bin")
    assert written.tokens == expected + after
    assert written.sizes["n_vocab"] == num_vocabulary


def test_how_much_is_converted_at_a_time_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = speech_of()
    write_ggml(speech, tmp_path / "whole.bin", kind="q5_1")
    monkeypatch.setattr(ggml, "CHUNK_WEIGHTS", 1000)
    write_ggml(speech, tmp_path / "pieces.bin", kind="q5_1")
    assert (tmp_path / "whole.bin").read_bytes() == (tmp_path / "pieces.bin").read_bytes()


def test_rows_that_only_fill_the_embedding_up_are_left_out(tmp_path: Path) -> None:
    model = speech_of()
    write_ggml(model, tmp_path / "plain.bin", kind="f16")
    model.network.resize_token_embeddings(51904)
    write_ggml(model, tmp_path / "padded.bin", kind="f16")
    assert (tmp_path / "plain.bin").read_bytes() == (tmp_path / "padded.bin").read_bytes()


def refusal(model: WhisperModel, folder: Path, *, kind: ggml.GgmlKind = "f16") -> str:
    with pytest.raises(InputError) as caught:
        write_ggml(model, folder / "model.bin", kind=kind)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_a_model_with_tokens_of_its_own_is_refused(tmp_path: Path) -> None:
    model = speech_of()
    model.tokenizer.add_tokens(["<|cough|>"])
    model.network.resize_token_embeddings(51867)
    assert "its token 51866 is '<|cough|>', one of 1" in refusal(model, tmp_path)


def test_an_embedding_without_the_last_tokens_is_refused(tmp_path: Path) -> None:
    model = speech_of()
    model.network.resize_token_embeddings(51800)
    assert "its embedding has 51800 rows, and OpenAI's has 51866" in refusal(model, tmp_path)


def test_an_adapter_is_refused(tmp_path: Path) -> None:
    model = speech_of()
    model.network = get_peft_model(model.network, LoraConfig(r=2, target_modules=["q_proj"]))
    assert "merge its adapter first" in refusal(model, tmp_path)


def test_a_head_of_its_own_is_refused(tmp_path: Path) -> None:
    model = speech_of()
    model.network.proj_out.weight = torch.nn.Parameter(model.network.proj_out.weight.detach() + 1)
    assert "its proj_out is another" in refusal(model, tmp_path)


@pytest.mark.parametrize(("name", "value"), [("encoder_ffn_dim", 100), ("activation_function", "relu")])
def test_a_network_that_whisper_cpp_would_take_for_another_is_refused(tmp_path: Path, name: str, value: object) -> None:
    model = speech_of()
    setattr(model.network.config, name, value)
    assert f"{name} is {value!r} where whisper.cpp expects" in refusal(model, tmp_path)


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (float("nan"), "f32", "holds NaN or infinity"),
        (1e5, "f16", "holds 100000; write it as f32"),
        (1e5, "q8_0", "holds 100000; write it as f32"),
    ],
)
def test_weights_that_the_kind_cannot_hold_are_refused(
    tmp_path: Path, value: float, kind: ggml.GgmlKind, told: str
) -> None:
    model = speech_of()
    with torch.no_grad():
        model.network.model.encoder.layers[1].fc1.weight[3, 4] = value
    told_of = refusal(model, tmp_path, kind=kind)
    assert told in told_of
    assert "encoder.blocks.1.mlp.0.weight" in told_of


def test_large_values_are_kept_in_float32(tmp_path: Path) -> None:
    model = speech_of()
    with torch.no_grad():
        model.network.model.encoder.layers[1].fc1.weight[3, 4] = 1e5
    write_ggml(model, tmp_path / "model.bin", kind="f32")
    assert read_ggml(tmp_path / "model.bin").tensors["encoder.blocks.1.mlp.0.weight"].values[3, 4] == 1e5
