"""Canary as ONNX: graphs that answer as torch does, and the words of onnx-asr and sherpa-onnx."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from eartune.export import onnx_files
from eartune.families.canary.decode import decode
from eartune.families.canary.load import load
from eartune.families.canary.onnx import write_onnx
from eartune.families.registry import family
from eartune.model import DecodeOptions
from eartune.runtimes.onnx_asr import OnnxAsr
from eartune.runtimes.sherpa_onnx import SherpaOnnx
from tests.lively_nemo import lively_model, varied_clips
from tests.sherpa_features import sherpa_features
from tests.tiny import clips_in

pytestmark = pytest.mark.runtimes

# sherpa-onnx answers at most 30 tokens a second, and one
SHERPA_TOKENS_PER_S = 30
LANGUAGES = ("en", "de", "fr", "ru")
FILES = {
    "config.json", "tokens.txt", "vocab.txt", "encoder.onnx", "decoder.onnx", "encoder-model.onnx",
    "encoder-model.onnx.data", "decoder-model.onnx", "decoder-model.onnx.data",
}  # fmt: skip


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lively_model(tmp_path_factory.mktemp("canary"), "canary")


@pytest.fixture(scope="module")
def folder(lively: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx")
    assert write_onnx(lively, out, quantization="float32") < 1e-3
    return out


@pytest.mark.parametrize("language", LANGUAGES)
def test_onnx_asr_writes_eartunes_words(language: str, lively: Any, folder: Path) -> None:
    clips = varied_clips()
    most = DecodeOptions(max_length=1000)
    expected = [lively.transcribe_batch([clip], clips_in(language), most)[0] for clip in clips]
    with OnnxAsr(folder) as runtime:
        found = [runtime.transcribe(clip, language) for clip in clips]
    assert found == expected
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("program", [OnnxAsr, SherpaOnnx])
def test_a_translation_is_into_english(program: Any, lively: Any, folder: Path) -> None:
    clips = varied_clips(8)

    def words(language: str, task: str) -> list[str]:
        with program(folder, task=task) as runtime:
            return [runtime.transcribe(clip, language) for clip in clips]

    translated = words("de", "translate")
    assert translated != words("de", "transcribe")
    assert words("en", "translate") == words("en", "transcribe")
    if program is OnnxAsr:
        model = type(lively)(lively.network, lively.tokenizer, lively.log_mel, task="translate")
        most = DecodeOptions(max_length=1000)
        assert translated == [model.transcribe_batch([clip], clips_in("de"), most)[0] for clip in clips]


def test_sherpa_onnx_differs_by_its_features_only(lively: Any, folder: Path) -> None:
    """On the same features it says the same, after the same prompt, at the same places."""
    found, expected = [], []
    with SherpaOnnx(folder) as runtime:
        for clip, language in zip(varied_clips(8), LANGUAGES * 2, strict=True):
            found.append(runtime.transcribe(clip, language))
            features_BTM = torch.from_numpy(sherpa_features(clip, num_mels=80, kind="canary"))[None]
            mask_BT = torch.ones(features_BTM.shape[:2], dtype=torch.bool)
            inputs = {"input_features": features_BTM, "attention_mask": mask_BT}
            (utterance,) = clips_in(language)
            most = int(-(-features_BTM.shape[1] // 8) * 8 / 100 * SHERPA_TOKENS_PER_S) + 1
            (tokens,) = decode(
                lively.network,
                inputs,
                [lively.labeler.prompt(utterance)],
                end=lively.labeler.end,
                options=DecodeOptions(max_length=most),
            )
            expected.append(lively.tokenizer.decode(tokens, skip_special_tokens=True).strip())
    assert all(found)
    assert len(set(found)) == len(found)
    # eartune ends at the last place that the decoder has
    agreeing = [one[: len(other)] == other[: len(one)] for one, other in zip(found, expected, strict=True)]
    assert np.mean(agreeing) > 0.7


@pytest.mark.parametrize(("quantization", "most"), [("float32", 1e-5), ("float16", 0.02), ("int8", 0.3)])
def test_outputs_are_near_those_of_torch(
    quantization: Any, most: float, tiny_nemo: dict[str, Path], tmp_path: Path
) -> None:
    difference = write_onnx(load(family("canary").find(str(tiny_nemo["canary"]))), tmp_path, quantization=quantization)
    assert 1e-9 < difference < most
    assert quantization == "float32" or difference > 1e-4, "nothing was rounded"
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_both_programs_share_the_weights(folder: Path) -> None:
    for name, other in (("encoder.onnx", "encoder-model.onnx.data"), ("decoder.onnx", "decoder-model.onnx.data")):
        graph = onnx.load(folder / name, load_external_data=False).graph
        entries = [entry for tensor in graph.initializer for entry in tensor.external_data]
        places = {entry.value for entry in entries if entry.key == "location"}
        assert places == {other}


def test_settings_are_read_from_the_model(tmp_path: Path) -> None:
    model = lively_model(tmp_path, "canary", num_mels=128)
    (tmp_path / "onnx").mkdir()
    assert write_onnx(model, tmp_path / "onnx", quantization="float32") < 1e-3
    config = json.loads((tmp_path / "onnx" / "config.json").read_text())
    assert config == {
        "model_type": "nemo-conformer-aed",
        "features_size": 128,
        "subsampling_factor": 8,
        "max_sequence_length": 64,
    }
    encoder = onnx.load(tmp_path / "onnx" / "encoder.onnx", load_external_data=False)
    found = {each.key: each.value for each in encoder.metadata_props}
    tokens = (tmp_path / "onnx" / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert tokens == (tmp_path / "onnx" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert len(tokens) == len(model.tokenizer.get_vocab()) == int(found["vocab_size"])
    assert (found["feat_dim"], found["num_decoder_layers"], found["decoder_hidden_size"]) == ("128", "4", "16")
    clips = varied_clips()
    with OnnxAsr(tmp_path / "onnx") as runtime:
        words = [runtime.transcribe(clip, "en") for clip in clips]
    most = DecodeOptions(max_length=1000)
    assert words == [model.transcribe_batch([clip], clips_in("en"), most)[0] for clip in clips]


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = lively_model(tmp_path, "canary")
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    model.network.train()
    model.network.model.decoder.layers[0].eval()
    (tmp_path / "onnx").mkdir()
    write_onnx(model, tmp_path / "onnx", quantization="float16")
    assert model.network.training
    assert model.network.model.decoder.layers[1].training
    assert not model.network.model.decoder.layers[0].training
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert model.network.proj_out.weight is model.network.model.decoder.embed_tokens.weight


def test_clips_of_a_batch_do_not_hear_each_other(lively: Any, folder: Path) -> None:
    """onnx-asr pads the shorter clips of a batch."""
    first, second = varied_clips()[:2]
    alone = onnx_files.run_graph(folder / "encoder-model.onnx", graph_inputs(lively, [first]))
    both = onnx_files.run_graph(folder / "encoder-model.onnx", graph_inputs(lively, [first, second]))
    length = alone["encoder_embeddings"].shape[1]
    assert abs(both["encoder_embeddings"][0, :length] - alone["encoder_embeddings"][0]).max() < 1e-3
    lengths = [length, both["encoder_mask"].shape[1]]
    assert both["encoder_mask"].sum(axis=1).tolist() == both["encoded_lengths"].tolist() == lengths


def graph_inputs(model: Any, clips: list[Any]) -> dict[str, Any]:
    features = model.features_of(clips)
    return {
        "audio_signal": features["input_features"].transpose(1, 2).numpy(),
        "length": features["attention_mask"].sum(dim=1).numpy(),
    }
