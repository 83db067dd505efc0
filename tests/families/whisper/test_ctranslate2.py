"""Folders for faster-whisper: what CTranslate2's own command writes from the hub's model, and what runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eartune.errors import InputError
from eartune.families.whisper.ctranslate2 import Quantization, write_ctranslate2
from eartune.families.whisper.load import find, load
from eartune.runtimes.faster_whisper import FILES, FasterWhisper
from tests.tiny import LARGE_V3_VOCABULARY, write_openai_checkpoint

pytestmark = pytest.mark.runtimes

ct2 = pytest.importorskip("ctranslate2")
faster_whisper = pytest.importorskip("faster_whisper")


def test_the_folder_is_that_of_ctranslate2s_own_command(shared_dir: Path, tmp_path: Path) -> None:
    model = shared_dir / "models" / "whisper-tiny"
    write_ctranslate2(load(find(str(model))), tmp_path / "ours", quantization="int8")
    command = [sys.executable, "-m", "ctranslate2.converters.transformers", "--model", str(model)]
    command += ["--output_dir", str(tmp_path / "theirs"), "--quantization", "int8"]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("model.bin", "config.json", "vocabulary.json"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == sorted(FILES)


@pytest.mark.parametrize(
    ("num_vocabulary", "num_mels"), [(51865, 80), (51864, 80), (LARGE_V3_VOCABULARY, 128)], ids=["multi", "en", "v3"]
)
def test_every_kind_of_model_opens_in_faster_whisper(num_vocabulary: int, num_mels: int, tmp_path: Path) -> None:
    path = write_openai_checkpoint(tmp_path / "m.pt", num_vocabulary=num_vocabulary, num_mels=num_mels)
    write_ctranslate2(load(find(str(path))), tmp_path / "out", quantization="float32")
    opened = faster_whisper.WhisperModel(str(tmp_path / "out"), device="cpu", local_files_only=True)
    assert opened.model.is_multilingual is (num_vocabulary != 51864)
    assert opened.model.n_mels == num_mels
    assert opened.feature_extractor.mel_filters.shape[0] == num_mels
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    # OpenAI's default for files: all heads of the upper half of the decoder
    assert settings["alignment_heads"] == [[1, 0], [1, 1]]
    assert len(settings["lang_ids"]) == {51865: 99, 51864: 0, 51866: 100}[num_vocabulary]


@pytest.mark.parametrize("quantization", ["float16", "bfloat16", "int8", "int8_float16", "int8_float32", "int16"])
def test_every_quantization_opens_and_leaves_the_network_as_it_was(
    quantization: str, tiny_model: Path, tmp_path: Path
) -> None:
    model = load(find(str(tiny_model)))
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    write_ctranslate2(model, tmp_path / "out", quantization=quantization)
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert FasterWhisper(tmp_path / "out").arithmetic in ct2.get_supported_compute_types("cpu")


@pytest.mark.parametrize("quantization", ["float16", "int8_float16"])
def test_values_that_float16_cannot_hold_are_refused_by_name(
    quantization: Quantization, tiny_model: Path, tmp_path: Path
) -> None:
    model = load(find(str(tiny_model)))
    model.network.model.encoder.conv1.bias.data[0] = 1e5
    with pytest.raises(InputError, match=r"weight model\.encoder\.conv1\.bias has values that float16 cannot hold"):
        write_ctranslate2(model, tmp_path / "out", quantization=quantization)
    assert not (tmp_path / "out").exists()


def test_without_ctranslate2_it_says_what_to_install(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2.converters", None)
    with pytest.raises(InputError, match=r"pip install 'eartune\[ctranslate2\]'"):
        write_ctranslate2(load(find(str(tiny_model))), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_taken_place_and_another_build_leave_nothing_behind(tiny_model: Path, tmp_path: Path) -> None:
    model = load(find(str(tiny_model)))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="already exists and is not empty"):
        write_ctranslate2(model, tmp_path / "taken", quantization="int8")
    write_ctranslate2(model, tmp_path / "taken", quantization="int8", replace=True)
    assert sorted(path.name for path in (tmp_path / "taken").iterdir()) == sorted(FILES)
    model.network.resize_token_embeddings(51872)
    with pytest.raises(InputError, match="has 51872 tokens"):
        write_ctranslate2(model, tmp_path / "other", quantization="int8")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
