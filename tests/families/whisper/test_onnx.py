"""Folders of Whisper in ONNX: Optimum's layout, torch's numbers, and files that older and newer readers take."""

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import WhisperTokenizer

from eartune.errors import EartuneError
from eartune.export import onnx_files
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.onnx import graphs, write_onnx
from eartune.families.whisper.onnx.modules import FirstDecoder
from eartune.families.whisper.onnx.runtime import FILES, OnnxWhisper
from tests.tiny import LARGE_V3_VOCABULARY, write_openai_checkpoint

pytestmark = pytest.mark.runtimes

ENCODER, DECODER = "encoder_model.onnx", "decoder_model_merged.onnx"
FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
PAST, ALL, SOUND = (
    "past_decoder_sequence_length",
    "past_decoder_sequence_length + decoder_sequence_length",
    "encoder_sequence_length",
)

# what optimum-onnx 0.1.0 writes of a model with 2 layers of 2 heads of 16 channels and 51865 tokens
OPTIMUM_ENCODER = (
    [("input_features", FLOAT, ["batch_size", 80, 3000])],
    [("last_hidden_state", FLOAT, ["batch_size", 1500, 32])],
)
OPTIMUM_DECODER = (
    [
        ("input_ids", INT64, ["batch_size", "decoder_sequence_length"]),
        ("encoder_hidden_states", FLOAT, ["batch_size", SOUND, 32]),
        ("past_key_values.0.decoder.key", FLOAT, ["batch_size", 2, PAST, 16]),
        ("past_key_values.0.decoder.value", FLOAT, ["batch_size", 2, PAST, 16]),
        ("past_key_values.0.encoder.key", FLOAT, ["batch_size", 2, SOUND, 16]),
        ("past_key_values.0.encoder.value", FLOAT, ["batch_size", 2, SOUND, 16]),
        ("past_key_values.1.decoder.key", FLOAT, ["batch_size", 2, PAST, 16]),
        ("past_key_values.1.decoder.value", FLOAT, ["batch_size", 2, PAST, 16]),
        ("past_key_values.1.encoder.key", FLOAT, ["batch_size", 2, SOUND, 16]),
        ("past_key_values.1.encoder.value", FLOAT, ["batch_size", 2, SOUND, 16]),
        ("use_cache_branch", BOOL, [1]),
    ],
    [
        ("logits", FLOAT, ["batch_size", "decoder_sequence_length", 51865]),
        ("present.0.decoder.key", FLOAT, ["batch_size", 2, ALL, 16]),
        ("present.0.decoder.value", FLOAT, ["batch_size", 2, ALL, 16]),
        ("present.0.encoder.key", FLOAT, ["batch_size", 2, SOUND, 16]),
        ("present.0.encoder.value", FLOAT, ["batch_size", 2, SOUND, 16]),
        ("present.1.decoder.key", FLOAT, ["batch_size", 2, ALL, 16]),
        ("present.1.decoder.value", FLOAT, ["batch_size", 2, ALL, 16]),
        ("present.1.encoder.key", FLOAT, ["batch_size", 2, SOUND, 16]),
        ("present.1.encoder.value", FLOAT, ["batch_size", 2, SOUND, 16]),
    ],
)


@pytest.fixture
def model(tiny_model: Path) -> WhisperModel:
    return load(find(str(tiny_model)))


def described(path: Path) -> tuple[list, list]:
    """Return name, type and axes of a graph's inputs and outputs."""
    graph = onnx.load(path).graph
    return tuple(
        [
            (
                value.name,
                value.type.tensor_type.elem_type,
                [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
            )
            for value in values
        ]
        for values in (graph.input, graph.output)
    )


def run(path: Path, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize(
    ("quantization", "kind", "limit"),
    [
        ("float32", onnx.TensorProto.FLOAT, 1e-4),
        ("float16", onnx.TensorProto.FLOAT16, 0.1),
        ("int8", onnx.TensorProto.UINT8, 1.0),
    ],
)
def test_a_folder_is_laid_out_as_optimums_and_the_model_stays_as_it_was(
    quantization: str,
    kind: int,
    limit: float,
    model: WhisperModel,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model.network.train()
    before = copy.deepcopy(model.network.state_dict())
    encoder, attention = type(model.network.model.encoder), model.network.config._attn_implementation
    capfd.readouterr()
    assert 0 < write_onnx(model, tmp_path, quantization=quantization) < limit
    assert tuple(capfd.readouterr()) == ("", "")

    assert described(tmp_path / ENCODER) == OPTIMUM_ENCODER
    assert described(tmp_path / DECODER) == OPTIMUM_DECODER
    for name in (ENCODER, DECODER):
        onnx.checker.check_model(tmp_path / name, full_check=True)
    others = {"vocab.json", "added_tokens.json", "merges.txt"}
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, *others}
    # head and embedding, first and later steps: one table for all
    weights = onnx.load(tmp_path / DECODER).graph.initializer
    assert [each.data_type for each in weights if np.prod(each.dims) == 51865 * 32] == [kind]

    assert model.network.training
    assert type(model.network.model.encoder) is encoder
    assert model.network.config._attn_implementation == attention
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())


def test_both_steps_answer_as_torch_for_other_batches_and_lengths(model: WhisperModel, tmp_path: Path) -> None:
    write_onnx(model, tmp_path, quantization="float32")
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(3, 80, 3000, generator=generator)
    tokens = torch.randint(0, 51865, (3, 9), generator=generator)
    with torch.no_grad():
        states = model.network.model.encoder(features).last_hidden_state
        expected = model.network(input_features=features, decoder_input_ids=tokens).logits.numpy()
    found = run(tmp_path / ENCODER, input_features=features.numpy())["last_hidden_state"]
    np.testing.assert_allclose(found, states.numpy(), atol=1e-4)
    empty = {name: np.zeros((0, 2, 0, 16), np.float32) for name, *_ in OPTIMUM_DECODER[0] if name.startswith("past")}
    given = {"encoder_hidden_states": states.numpy(), "use_cache_branch": np.array([False])}
    first = run(tmp_path / DECODER, input_ids=tokens[:, :2].numpy(), **given, **empty)
    np.testing.assert_allclose(first["logits"], expected[:, :2], atol=1e-4)
    past = {name: first[name.replace("past_key_values", "present")] for name in empty}
    assert past["past_key_values.1.encoder.key"].shape == (3, 2, 1500, 16)
    given["use_cache_branch"] = np.array([True])
    following = run(tmp_path / DECODER, input_ids=tokens[:, 2:].numpy(), **given, **past)
    np.testing.assert_allclose(following["logits"], expected[:, 2:], atol=1e-4)
    assert following["present.0.decoder.value"].shape == (3, 2, 9, 16)
    # onnx-asr goes by it: what is empty has not changed
    assert following["present.0.encoder.value"].shape == (0, 2, 1, 16)


@pytest.mark.parametrize(
    ("num_vocabulary", "num_mels"), [(51864, 80), (LARGE_V3_VOCABULARY, 128)], ids=["english", "large-v3"]
)
def test_other_kinds_of_models_are_written(num_vocabulary: int, num_mels: int, tmp_path: Path) -> None:
    path = write_openai_checkpoint(tmp_path / "m.pt", num_vocabulary=num_vocabulary, num_mels=num_mels)
    (tmp_path / "out").mkdir()
    assert 0 < write_onnx(load(find(str(path))), tmp_path / "out", quantization="float32") < 1e-4
    assert described(tmp_path / "out" / ENCODER)[0][0][2] == ["batch_size", num_mels, 3000]
    assert described(tmp_path / "out" / DECODER)[1][0][2][2] == num_vocabulary


def test_fewer_decoder_layers_and_more_tokens_are_written(model: WhisperModel, tmp_path: Path) -> None:
    model.network.model.decoder.layers = model.network.model.decoder.layers[:1]
    model.network.config.decoder_layers = 1
    model.network.resize_token_embeddings(51872, mean_resizing=False)
    assert write_onnx(model, tmp_path, quantization="int8") < 1
    assert described(tmp_path / DECODER)[1][0][2][2] == 51872
    assert [name for name, *_ in described(tmp_path / DECODER)[1][1:]] == graphs.past_names("present", 1)


def test_a_head_of_its_own_is_not_taken_for_the_embedding(model: WhisperModel, tmp_path: Path) -> None:
    head = torch.nn.Parameter(model.network.proj_out.weight.detach().flip(0))
    model.network.proj_out.weight = head
    for quantization, limit in (("float32", 1e-4), ("int8", 1)):
        (tmp_path / quantization).mkdir()
        assert write_onnx(model, tmp_path / quantization, quantization=quantization) < limit


def test_what_is_too_large_for_one_file_lies_beside_the_graph(
    model: WhisperModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "MAX_BYTES_IN_GRAPH", 300_000)
    assert write_onnx(model, tmp_path, quantization="int8") < 1
    assert (tmp_path / DECODER).stat().st_size < 600_000
    assert (tmp_path / f"{DECODER}.data").stat().st_size > 51865 * 32
    assert OnnxWhisper(tmp_path).transcribe(np.zeros(16_000, np.float32), "en")


def test_graphs_that_answer_otherwise_are_refused(
    model: WhisperModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(FirstDecoder):
        def logits(self, *inputs: torch.Tensor) -> torch.Tensor:
            return super().logits(*inputs) + 0.01

    monkeypatch.setattr(graphs, "FirstDecoder", Wrong)
    with pytest.raises(EartuneError, match=r"their outputs differ by 0\.01 from the model's"):
        write_onnx(model, tmp_path, quantization="float32")


def test_tokenizer_files_are_those_of_the_hub(shared_dir: Path, tmp_path: Path) -> None:
    hub = shared_dir / "models" / "whisper-tiny"
    write_onnx(load(find(str(hub))), tmp_path, quantization="int8")
    ours, theirs = (
        {name: json.loads((folder / name).read_text(encoding="utf-8")) for name in ("vocab.json", "added_tokens.json")}
        for folder in (tmp_path, hub)
    )
    assert ours["vocab.json"] == theirs["vocab.json"]
    # the hub's older tokenizer leaves out the timestamps
    timestamps = {f"<|{number * 0.02:.2f}|>": 50364 + number for number in range(1501)}
    assert ours["added_tokens.json"] == theirs["added_tokens.json"] | timestamps
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8").split("\n")[1:] == (hub / "merges.txt").read_text(
        encoding="utf-8"
    ).split("\n")[1:]
    # transformers 4 reads a list under this name only
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "extra_special_tokens" not in settings
    assert "<|notimestamps|>" in settings["additional_special_tokens"]
    again, original = (WhisperTokenizer.from_pretrained(folder) for folder in (tmp_path, hub))
    assert again.all_special_ids == original.all_special_ids
    for tokens in ([50258, 50259, 50359, 50363, 440, 7674, 307, 2614, 50257], [50364, 440, 50400]):
        assert again.decode(tokens, skip_special_tokens=True) == original.decode(tokens, skip_special_tokens=True)
