"""OpenAI's .pt files written by eartune, read back by eartune and by openai-whisper itself."""

from pathlib import Path

import pytest
import torch
import whisper

from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai_export import openai_dims, write_openai
from tests.tiny import LARGE_V3_VOCABULARY, write_openai_checkpoint


@pytest.mark.parametrize(
    ("num_vocabulary", "num_mels"), [(51865, 80), (51864, 80), (LARGE_V3_VOCABULARY, 128)], ids=["multi", "en", "v3"]
)
def test_openais_own_file_comes_back_bit_for_bit(num_vocabulary: int, num_mels: int, tmp_path: Path) -> None:
    original = write_openai_checkpoint(tmp_path / "m.pt", num_vocabulary=num_vocabulary, num_mels=num_mels)
    write_openai(load(find(str(original))), tmp_path / "again.pt")
    before, after = (torch.load(path, weights_only=True) for path in (original, tmp_path / "again.pt"))
    assert after["dims"] == before["dims"]
    assert list(after["dims"]) == list(before["dims"])
    assert after["model_state_dict"].keys() == before["model_state_dict"].keys()
    for name, value in before["model_state_dict"].items():
        assert after["model_state_dict"][name].dtype == value.dtype
        assert torch.equal(after["model_state_dict"][name], value), name


def test_tuned_weights_come_back_bit_for_bit_in_float32_and_run_in_openai_whisper(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = load(find(str(tiny_model)))
    tuned(model)
    write_openai(model, tmp_path / "tuned.pt", dtype="float32")
    again = load(find(str(tmp_path / "tuned.pt")))
    for name, value in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value), name
    theirs = whisper.load_model(str(tmp_path / "tuned.pt"), device="cpu")
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[50258, 50259, 50359, 50363, 11, 12]])
    with torch.no_grad():
        expected = model.network(input_features=mel, decoder_input_ids=tokens).logits
        torch.testing.assert_close(theirs(mel, tokens), expected, atol=1e-4, rtol=1e-4)


def test_a_hugging_face_folder_becomes_openais_file(shared_dir: Path, tmp_path: Path) -> None:
    model = load(find(str(shared_dir / "models" / "whisper-tiny")))
    write_openai(model, tmp_path / "tiny.pt", dtype="float32")
    again = load(find(str(tmp_path / "tiny.pt")))
    for name, value in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value), name
    assert openai_dims(again.network) == openai_dims(model.network)


def test_a_weight_beyond_float16_is_refused_and_nothing_is_left(tiny_model: Path, tmp_path: Path) -> None:
    model = load(find(str(tiny_model)))
    with torch.no_grad():
        model.network.model.decoder.layers[0].fc1.bias[3] = 1e6
    with pytest.raises(InputError, match=r"fc1\.bias has values that torch\.float16 cannot hold; write it as float32"):
        write_openai(model, tmp_path / "out" / "m.pt")
    assert not (tmp_path / "out").exists()
    write_openai(model, tmp_path / "out" / "m.pt", dtype="float32")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.pt"]


def test_places_that_are_taken_or_named_otherwise_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    model = load(find(str(tiny_model)))
    (tmp_path / "m.pt").write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already"):
        write_openai(model, tmp_path / "m.pt")
    assert (tmp_path / "m.pt").read_bytes() == b"mine"
    with pytest.raises(InputError, match=r"does not end in \.pt"):
        write_openai(model, tmp_path / "m.bin")
    write_openai(model, tmp_path / "m.pt", replace=True)
    assert load(find(str(tmp_path / "m.pt"))).log_mel.mel_filters.shape[0] == 80


def tuned(model: WhisperModel) -> None:
    """Move every weight as training would, away from what float16 can hold exactly."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.network.parameters():
            if parameter.requires_grad:
                parameter += 1e-3 * torch.randn(parameter.shape, generator=generator)
