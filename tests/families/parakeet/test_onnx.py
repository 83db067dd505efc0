"""Parakeet as ONNX: graphs that answer as torch does, and the words of onnx-asr, which are eartune's own."""

import json
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from eartune.errors import EartuneError, InputError
from eartune.export import onnx_files
from eartune.families.parakeet.load import load
from eartune.families.parakeet.onnx import graphs, write_onnx
from eartune.families.parakeet.vocabulary import extend
from eartune.families.registry import family
from eartune.model import DecodeOptions
from eartune.runtimes.onnx_asr import OnnxAsr
from tests.lively_nemo import enliven, lively_model, varied_clips
from tests.tiny import clips_in

pytestmark = pytest.mark.runtimes

KINDS = ("ctc", "rnnt", "tdt", "hybrid")
TRANSDUCER_FILES = {"encoder-model.onnx", "decoder_joint-model.onnx", "decoder.onnx", "joiner.onnx"}
BESIDE = {"config.json", "tokens.txt", "vocab.txt"}


def words(model: Any) -> list[str]:
    """eartune's own words of clips, each decoded by itself."""
    found = [model.transcribe_batch([clip], clips_in("en"), DecodeOptions())[0] for clip in varied_clips()]
    assert sum(map(bool, found)) >= len(found) - 1, "the model says nothing"
    assert len(set(found)) == len(found), "the model says the same of every clip"
    return found


def words_of_onnx_asr(folder: Path) -> list[str]:
    with OnnxAsr(folder) as runtime:
        return [runtime.transcribe(clip, None) for clip in varied_clips()]


@pytest.mark.parametrize("num_mels", [80, 128])
@pytest.mark.parametrize("kind", KINDS)
def test_onnx_asr_writes_eartunes_words(kind: str, num_mels: int, tmp_path: Path) -> None:
    model = lively_model(tmp_path, kind, num_mels=num_mels)
    (tmp_path / "onnx").mkdir()
    assert write_onnx(model, tmp_path / "onnx", quantization="float32") < 1e-3
    assert words_of_onnx_asr(tmp_path / "onnx") == words(model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("quantization", "most"), [("float32", 1e-5), ("float16", 0.02), ("int8", 0.2)])
def test_outputs_are_near_those_of_torch(
    kind: str, quantization: Any, most: float, tiny_nemo: dict[str, Path], tmp_path: Path
) -> None:
    difference = write_onnx(load(family("parakeet").find(str(tiny_nemo[kind]))), tmp_path, quantization=quantization)
    assert 1e-9 < difference < most
    assert quantization == "float32" or difference > 1e-4, "nothing was rounded"
    assert {path.name for path in tmp_path.iterdir()} == BESIDE | (
        {"model.onnx"} if kind == "ctc" else TRANSDUCER_FILES
    )


@pytest.mark.parametrize(("quantization", "types"), [("float16", {onnx.TensorProto.FLOAT16}), ("int8", None)])
def test_weights_are_stored_in_what_was_asked_for(
    quantization: Any, types: Any, tiny_nemo: dict[str, Path], tmp_path: Path
) -> None:
    write_onnx(load(family("parakeet").find(str(tiny_nemo["tdt"]))), tmp_path, quantization=quantization)
    graph = onnx.load(tmp_path / "encoder-model.onnx").graph
    matrices = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 2 and "MatMul" in tensor.name}
    assert matrices == (types or {onnx.TensorProto.UINT8})
    assert {each.type.tensor_type.elem_type for each in graph.input} == {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
    }


def test_long_clips_are_told_apart_in_float16(tiny_nemo: dict[str, Path], tmp_path: Path) -> None:
    """Beyond 2048 frames float16 has no whole numbers for all lengths."""
    model = load(family("parakeet").find(str(tiny_nemo["ctc"])))
    write_onnx(model, tmp_path, quantization="float16")
    features_BMT = torch.randn(2, 80, 3001, generator=torch.Generator().manual_seed(0))
    lengths_B = torch.tensor([3001, 2993])
    mask_BT = torch.arange(3001) < lengths_B[:, None]
    with torch.no_grad():
        logits_BPV = model.network(input_features=features_BMT.transpose(1, 2), attention_mask=mask_BT).logits
    inputs = {"audio_signal": features_BMT.numpy(), "length": lengths_B.numpy()}
    found_BPV = onnx_files.run_graph(tmp_path / "model.onnx", inputs)["logprobs"]
    expected_BPV = logits_BPV.log_softmax(-1).numpy()
    assert abs(found_BPV[0] - expected_BPV[0]).max() < 0.03
    assert abs(found_BPV[1, :375] - expected_BPV[1, :375]).max() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_settings_are_read_from_the_model(kind: str, tmp_path: Path) -> None:
    model = lively_model(tmp_path, kind, num_mels=128)
    (tmp_path / "onnx").mkdir()
    write_onnx(model, tmp_path / "onnx", quantization="float32")
    config = json.loads((tmp_path / "onnx" / "config.json").read_text())
    tdt = kind in ("tdt", "hybrid")
    assert config["model_type"] == f"nemo-conformer-{'tdt' if tdt else kind}"
    assert (config["features_size"], config["subsampling_factor"]) == (128, 8)
    encoder = onnx.load(tmp_path / "onnx" / ("model.onnx" if kind == "ctc" else "encoder-model.onnx"))
    found = {each.key: each.value for each in encoder.metadata_props}
    blank = model.network.config.vocab_size - 1
    assert (found["vocab_size"], found["feat_dim"], found["subsampling_factor"]) == (str(blank), "128", "8")
    assert found["normalize_type"] == "per_feature"
    if kind != "ctc":
        assert ("tdt" in found["url"]) == tdt
        assert (found["pred_rnn_layers"], found["pred_hidden"]) == ("1", "12")
    for name in ("tokens.txt", "vocab.txt"):
        lines = (tmp_path / "onnx" / name).read_text(encoding="utf-8").splitlines()
        assert lines[-1] == f"<blk> {blank}"
        assert lines[5] == f"{model.tokenizer.convert_ids_to_tokens(5)} 5"
        assert len(lines) == blank + 1


@pytest.mark.parametrize("durations", [[1, 2, 4], [0, 1, 3, 7], [4, 0, 1, 2, 3]])
def test_durations_are_those_of_the_model(durations: list[int], tmp_path: Path) -> None:
    """Both programs take the number of a score for its duration."""
    extra = len(durations)
    name = "joint.joint_net.2"
    head = {f"{name}.weight": torch.zeros(161 + extra, 12), f"{name}.bias": torch.zeros(161 + extra)}
    model = lively_model(
        tmp_path, "tdt", weights=head, loss__tdt_kwargs__durations=durations, joint__num_extra_outputs=extra
    )
    (tmp_path / "onnx").mkdir()
    write_onnx(model, tmp_path / "onnx", quantization="float32")
    assert words_of_onnx_asr(tmp_path / "onnx") == words(model)


@pytest.mark.parametrize("kind", ["ctc", "rnnt"])
def test_tokens_that_were_added_are_written(kind: str, tmp_path: Path) -> None:
    model = lively_model(tmp_path, kind)
    extend(model, "ўқ")
    enliven(model, 2.0 if kind == "ctc" else 9.0)
    head = model.network.ctc_head if kind == "ctc" else model.network.joint.head
    # the new ones are what it says most
    with torch.no_grad():
        head.bias[-3:-1] += 4.0 if kind == "ctc" else 2.0
    (tmp_path / "onnx").mkdir()
    write_onnx(model, tmp_path / "onnx", quantization="float32")
    lines = (tmp_path / "onnx" / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["ў", "қ", "<blk>"]
    found = words_of_onnx_asr(tmp_path / "onnx")
    assert found == words(model)
    assert set("ўқ") & set("".join(found))


@pytest.mark.parametrize("kind", ["ctc", "tdt"])
def test_the_model_stays_as_it_was(kind: str, tmp_path: Path) -> None:
    model = lively_model(tmp_path, kind)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    model.network.train()
    model.network.encoder.layers[0].conv.norm.eval()
    (tmp_path / "onnx").mkdir()
    write_onnx(model, tmp_path / "onnx", quantization="float32")
    assert model.network.training
    assert model.network.encoder.layers[1].training
    assert not model.network.encoder.layers[0].conv.norm.training
    after = model.network.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.mark.parametrize("kind", ["ctc", "rnnt"])
def test_a_network_in_half_precision_is_written_in_float32(kind: str, tmp_path: Path) -> None:
    model = lively_model(tmp_path, kind)
    model.network.bfloat16()
    (tmp_path / "onnx").mkdir()
    assert write_onnx(model, tmp_path / "onnx", quantization="float32") < 1e-3
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.bfloat16}
    graph = onnx.load(tmp_path / "onnx" / ("model.onnx" if kind == "ctc" else "decoder.onnx")).graph
    assert onnx.TensorProto.FLOAT in {tensor.data_type for tensor in graph.initializer}


def test_weights_that_are_too_large_lie_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively_model(tmp_path, "rnnt")
    monkeypatch.setattr(onnx_files, "MAX_BYTES_IN_GRAPH", 60_000)
    (tmp_path / "onnx").mkdir()
    write_onnx(model, tmp_path / "onnx", quantization="float32")
    assert (tmp_path / "onnx" / "encoder-model.onnx.data").stat().st_size > 40_000
    moved = (tmp_path / "onnx").rename(tmp_path / "moved")
    assert words_of_onnx_asr(moved) == words(model)


def test_a_wrong_export_is_refused(tiny_nemo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_files.write_graph

    def wrong(module: Any, path: Path, **settings: Any) -> None:
        with torch.no_grad():
            module.head.bias[3] += 0.01
        right(module, path, **settings)
        with torch.no_grad():
            module.head.bias[3] -= 0.01

    monkeypatch.setattr(graphs, "write_graph", wrong)
    with pytest.raises(EartuneError, match=r"exported wrongly: .* differ by 0\.0"):
        write_onnx(load(family("parakeet").find(str(tiny_nemo["ctc"]))), tmp_path, quantization="float32")


def test_features_that_the_programs_do_not_compute_are_refused(tmp_path: Path) -> None:
    model = lively_model(tmp_path, "ctc", preprocessor__window_size=0.02)
    with pytest.raises(InputError, match=r"do not support features with win_length 320 \(they compute 400\)"):
        write_onnx(model, tmp_path, quantization="float32")


@pytest.mark.parametrize(("piece", "reason"), [("a b", "'a b'"), ("<blk>", "is the name of the blank")])
def test_tokens_that_the_files_cannot_hold_are_refused(
    piece: str, reason: str, tiny_nemo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(family("parakeet").find(str(tiny_nemo["ctc"])))
    pieces = model.tokenizer.convert_ids_to_tokens(list(range(160)))
    monkeypatch.setattr(type(model.tokenizer), "convert_ids_to_tokens", lambda *_: [piece, *pieces[1:]])
    with pytest.raises(InputError, match=reason):
        write_onnx(model, tmp_path, quantization="float32")


def test_what_is_missing_is_named(tiny_nemo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"needs onnx, .*pip install 'eartune\[onnx\]'"):
        write_onnx(load(family("parakeet").find(str(tiny_nemo["ctc"]))), tmp_path, quantization="float32")
