"""Exports in the programs that run them: the same texts and times as the model's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForCTC, pipeline

from eartune.errors import InputError
from eartune.families.registry import exports_of
from eartune.families.wav2vec2.hf_runtime import HfFolder
from eartune.families.wav2vec2.onnx import write_onnx
from eartune.families.wav2vec2.onnx.runtime import OnnxFolder
from eartune.model import DecodeOptions, Waveform
from eartune.runtimes.registry import open_runtime, recognise
from eartune.runtimes.runtime import SupportsLongForm
from tests.families.wav2vec2.conftest import load

pytestmark = pytest.mark.runtimes
CASES = [
    ("group", None),
    ("layer", None),
    ("bert", None),
    ("hubert", None),
    ("shortened", None),
    ("shortened bert", None),
    ("mms", "de"),
    ("mms", "ru"),
]


@pytest.mark.parametrize("quantization", ["float32", "float16", "int8"])
@pytest.mark.parametrize(("kind", "language"), CASES)
def test_a_graph_decodes_as_the_model(
    tiny_wav2vec2: dict[str, Path],
    tmp_path: Path,
    clips: list[Waveform],
    kind: str,
    language: str | None,
    quantization: str,
) -> None:
    model = load(tiny_wav2vec2[kind], language=language)
    difference = write_onnx(model, tmp_path, quantization=quantization)
    assert difference < {"float32": 1e-3, "float16": 0.1, "int8": 1.0}[quantization]
    assert recognise(tmp_path) == "onnx"
    with open_runtime(tmp_path, family="wav2vec2") as runtime:
        assert isinstance(runtime, OnnxFolder)
        if quantization == "float32":
            assert [runtime.transcribe(clip, None) for clip in clips] == model.transcribe_batch(
                clips, [], DecodeOptions()
            )
            assert runtime.segments(clips[1], None).segments == tuple(model.transcribe_long(clips[1], None))  # type: ignore[arg-type]


def test_the_graph_is_as_onnx_asr_reads_it(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, clips: list[Waveform]
) -> None:
    """Its docs/conversion.md: raw samples and their number in, log-probabilities out; <blk> and ▁ in vocab.txt."""
    onnxruntime = pytest.importorskip("onnxruntime")
    write_onnx(load(tiny_wav2vec2["layer"]), tmp_path, quantization="float32")
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "model_type": "wav2vec2-ctc",
        "subsampling_factor": 320,
    }
    lines = (tmp_path / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert lines[:6] == ["<blk> 0", "<s> 1", "</s> 2", "<unk> 3", "▁ 4", "a 5"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [each.name for each in session.get_inputs()] == ["input_values", "input_lengths"]
    assert [each.name for each in session.get_outputs()] == ["logprobs"]
    padded = np.zeros((2, 24_321), dtype=np.float32)
    for row, clip in enumerate(clips[:2]):
        padded[row, : len(clip)] = clip
    lengths = np.array([len(clip) for clip in clips[:2]])
    (logprobs,) = session.run(None, {"input_values": padded, "input_lengths": lengths})
    np.testing.assert_allclose(np.exp(logprobs).sum(axis=-1), 1.0, atol=1e-4)
    # onnx-asr reads samples // 320 + 1 positions, which is beyond the end of the shorter clip
    assert (logprobs[0, 49:].argmax(axis=-1) == 0).all()


@pytest.mark.parametrize("kind", ["group", "layer", "bert", "hubert", "mms", "shortened", "shortened bert"])
def test_a_folder_in_transformers_decodes_as_the_model(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, clips: list[Waveform], kind: str
) -> None:
    model = load(tiny_wav2vec2[kind], language="en")
    exports_of("wav2vec2").formats["hf"].write(model, tmp_path, "float32", None)
    with open_runtime(tmp_path, family="wav2vec2") as runtime:
        assert isinstance(runtime, HfFolder)
        assert isinstance(runtime, SupportsLongForm)
        assert [runtime.transcribe(clip, None) for clip in clips[:3]] == model.transcribe_batch(
            clips[:3], [], DecodeOptions()
        )
    extractor, network = AutoFeatureExtractor.from_pretrained(tmp_path), AutoModelForCTC.from_pretrained(tmp_path)
    inputs = extractor(clips[0], sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        found = network.eval()(**inputs).logits
        expected = model.network(**model.features(torch.from_numpy(clips[0])[None], torch.tensor([16_000]))).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_times_of_words_are_those_of_transformers(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, clips: list[Waveform]
) -> None:
    model = load(tiny_wav2vec2["layer"])
    with torch.no_grad():
        # tokens that are no characters are never the best
        model.network.lm_head.bias[1:4] = -1e3
    model.save(tmp_path)
    (segment,) = model.transcribe_long(clips[1], None)  # type: ignore[arg-type]
    theirs = pipeline("automatic-speech-recognition", model=str(tmp_path))(clips[1], return_timestamps="word")
    assert [word.text for word in segment.words] == [each["text"] for each in theirs["chunks"]]
    expected = [tuple(round(float(time), 2) for time in each["timestamp"]) for each in theirs["chunks"]]
    assert [(word.start_s, word.end_s) for word in segment.words] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", "<blk> 0\na 2\n", "vocab.txt: its tokens are not numbered from 0 on"),
        ("vocab.txt", "a 0\nb 1\n", "vocab.txt: has no token <blk>"),
        ("vocab.txt", "<blk> 0\na 1\n", "graph and vocab.txt do not belong together"),
        ("config.json", "{}", "config.json"),
        ("config.json", '{"model_type": "wav2vec2-ctc", "subsampling_factor": 0}', "config.json: subsampling_factor"),
        ("model.onnx", "x", "ONNX Runtime cannot open it"),
    ],
)
def test_a_damaged_folder_is_named(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, clips: list[Waveform], name: str, content: str, message: str
) -> None:
    write_onnx(load(tiny_wav2vec2["group"]), tmp_path, quantization="float32")
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message), OnnxFolder(tmp_path) as runtime:
        runtime.transcribe(clips[0], None)


def test_translation_is_refused(tiny_wav2vec2: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only transcribes"):
        OnnxFolder(tmp_path, task="translate")
    with pytest.raises(InputError, match="only transcribes"):
        load(tiny_wav2vec2["group"], task="translate")
