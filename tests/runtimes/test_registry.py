"""Exports are known by what is in them, and opened in the program they are for."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eartune.errors import InputError
from eartune.families.whisper.ctranslate2 import write_ctranslate2
from eartune.families.whisper.ggml import write_ggml
from eartune.families.whisper.load import find, load
from eartune.families.whisper.openai_export import write_openai
from eartune.runtimes.registry import open_runtime, recognise


@pytest.fixture(scope="module")
def exports(tiny_model: Path, tiny_nemo: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One export of each format; names say nothing."""
    pytest.importorskip("ctranslate2")
    folder = tmp_path_factory.mktemp("exports")
    model = load(find(str(tiny_model)))
    write_ggml(model, folder / "a", kind="f16")
    write_ctranslate2(model, folder / "b", quantization="float32")
    write_openai(model, folder / "c.pt")
    model.save(folder / "d")
    (folder / "e").write_bytes(tiny_nemo["canary"].read_bytes())
    return {"ggml": folder / "a", "ctranslate2": folder / "b", "openai": folder / "c.pt", "hf": folder / "d",
            "nemo": folder / "e"}  # fmt: skip


@pytest.mark.parametrize("name", ["ggml", "ctranslate2", "openai", "hf", "nemo"])
def test_an_export_is_known_by_its_content(name: str, exports: dict[str, Path]) -> None:
    assert recognise(exports[name]) == name


SINGLE_FILES = {"ggml": "ggml-model.bin", "openai": "model.pt", "nemo": "model.nemo"}


def folder_of(name: str, exports: dict[str, Path], folder: Path) -> Path:
    """Lay an export that is one file into a folder, as `eartune export` does; return the file."""
    (folder / "origin.json").write_text("{}")
    file = folder / SINGLE_FILES[name]
    file.symlink_to(exports[name])
    return file


@pytest.mark.parametrize("name", SINGLE_FILES)
def test_a_folder_with_one_file_is_the_file(name: str, exports: dict[str, Path], tmp_path: Path) -> None:
    folder_of(name, exports, tmp_path)
    assert recognise(tmp_path) == name
    (tmp_path / "second.nemo").symlink_to(exports["nemo"])
    assert recognise(tmp_path) is None


@pytest.mark.parametrize("name", ["ggml", "openai"])
def test_the_one_file_of_a_folder_is_opened(name: str, exports: dict[str, Path], tmp_path: Path) -> None:
    folder_of(name, exports, tmp_path)
    with open_runtime(tmp_path, family="whisper") as runtime, pytest.raises(InputError, match="'xx'"):
        runtime.transcribe(np.zeros(16_000, dtype=np.float32), "xx")


def test_the_one_archive_of_a_folder_is_read(exports: dict[str, Path], tmp_path: Path) -> None:
    """Its configuration is read before NeMo is asked."""
    file = folder_of("nemo", exports, tmp_path)
    with pytest.raises(InputError, match=f"^{re.escape(str(file))}: its configuration names 'os.system'"):
        open_runtime(tmp_path, read_nemo_config=lambda path: {"target": "os.system"} if path == file else {})


@pytest.mark.parametrize("name", ["encoder_model.onnx", "model.onnx", "encoder-model.onnx"])
def test_folders_of_onnx_are_known_by_their_names(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert recognise(tmp_path) == "onnx"


@pytest.mark.parametrize(
    "content", [b"", b"lm", b"PK\x03\x04 no zip", b"GGUF", b"\x1f\x8b\x08\x00", bytes(2_000), b"ustar" * 400]
)
def test_other_files_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert recognise(tmp_path / "file") is None
    with pytest.raises(InputError, match="is not an export in a known format"):
        open_runtime(tmp_path / "file")


@given(kind=st.sampled_from(["openai", "nemo"]), at=st.integers(0, 5_000), junk=st.binary(min_size=1, max_size=600))
def test_damage_is_no_reason_to_fail(
    kind: str, at: int, junk: bytes, exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = bytearray(exports[kind].read_bytes())
    # a zip's directory is at its end
    at = len(raw) - at if kind == "openai" else at
    raw[at : at + len(junk)] = junk
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_bytes(raw)
    assert recognise(path) in (kind, None)


def test_recognising_imports_no_torch(exports: dict[str, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from eartune.runtimes.registry import recognise;"
        f"print(recognise(Path({str(exports['openai'])!r})), 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["openai", "False"]


def test_openais_own_file_and_other_checkpoints(real_tiny_en: Path, tmp_path: Path) -> None:
    assert recognise(real_tiny_en) == "openai"
    torch.save({"model": torch.zeros(3)}, tmp_path / "other.pt")
    assert recognise(tmp_path / "other.pt") is None


def test_folders_without_weights_or_with_other_settings_are_none(tmp_path: Path) -> None:
    assert recognise(tmp_path) is None
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    assert recognise(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert recognise(tmp_path) == "hf"
    for other in ("[]", "3", "{", '{"version": 1}'):
        (tmp_path / "config.json").write_text(other)
        assert recognise(tmp_path) is None


def test_what_is_missing_or_of_another_family_is_one_line(exports: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        recognise(tmp_path / "none")
    for name, family, said in (
        ("ggml", "canary", r"is a Whisper \(ggml\), not a canary"),
        ("hf", "parakeet", r"is a Whisper \(hf\), not a parakeet"),
        ("nemo", "whisper", r"is a Canary or Parakeet \(nemo\), not a whisper"),
    ):
        with pytest.raises(InputError, match=said):
            open_runtime(exports[name], family=family)


@pytest.mark.parametrize("name", ["ggml", "ctranslate2", "openai", "hf"])
def test_each_program_opens_its_export(name: str, exports: dict[str, Path]) -> None:
    with open_runtime(exports[name], family="whisper") as runtime, pytest.raises(InputError, match="'xx'"):
        runtime.transcribe(np.zeros(16_000, dtype=np.float32), "xx")
