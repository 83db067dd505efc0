"""whisper.cpp on our files: eartune's words, other words for a broken file, and an error where C++ gives up."""

import struct
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from eartune.audio import decode
from eartune.errors import EartuneError, InputError
from eartune.families.whisper.ggml import GgmlKind, write_ggml
from eartune.families.whisper.load import find, load
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions, Waveform
from eartune.runtimes.whisper_cpp import WhisperCpp
from eartune.scoring import score
from tests.families.whisper.ggml_reader import read_ggml
from tests.tiny import clips_in

pytestmark = pytest.mark.runtimes


def disagreement(path: Path, ggml: Path, kind: GgmlKind, waveforms: list[Waveform]) -> float:
    """Return the word error rate, without case and points, of whisper.cpp's words against eartune's own."""
    model = load(find(str(path)))
    write_ggml(model, ggml, kind=kind)
    expected = model.transcribe_batch(waveforms, clips_in(*["en"] * len(waveforms)), DecodeOptions())
    with WhisperCpp(ggml) as runtime:
        found = [runtime.transcribe(waveform, "en") for waveform in waveforms]
    assert all(expected)
    return score(expected, found, languages=["en"] * len(found)).words.rate


# invented names, of which the demo's sentences have several each, are where a hair's breadth changes a word
@pytest.mark.parametrize(("kind", "most"), [("f16", 0.05), ("q8_0", 0.1), ("q5_0", 0.15)])
def test_words_of_the_demo_are_eartunes(
    kind: GgmlKind, most: float, real_tiny_en: Path, demo_clips: list[tuple[Path, str]], tmp_path: Path
) -> None:
    waveforms = [decode(path) for path, _ in demo_clips[:6]]
    assert disagreement(real_tiny_en, tmp_path / "model.bin", kind, waveforms) <= most


@pytest.mark.real_speech
@pytest.mark.parametrize(("kind", "most"), [("f16", 0.0), ("q8_0", 0.0), ("q5_0", 0.2)])
def test_words_of_real_prompts_are_eartunes(kind: GgmlKind, most: float, shared_dir: Path, tmp_path: Path) -> None:
    prompts = read_manifest([shared_dir / "data" / "prompts-en" / "test.jsonl"]).utterances[:6]
    waveforms = [decode(utterance.audio) for utterance in prompts]
    model = shared_dir / "models" / "whisper-tiny"
    assert disagreement(model, tmp_path / "model.bin", kind, waveforms) <= most


@pytest.fixture(scope="module")
def tiny_en(real_tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ggml") / "tiny.en.bin"
    write_ggml(load(find(str(real_tiny_en))), path, kind="f16")
    return path


@pytest.fixture(scope="module")
def clip(demo_clips: list[tuple[Path, str]]) -> Waveform:
    return decode(demo_clips[0][0])


@pytest.fixture(scope="module")
def true_words(tiny_en: Path, clip: Waveform) -> str:
    with WhisperCpp(tiny_en) as runtime:
        return runtime.transcribe(clip, "en")


def test_segments_have_times_within_the_recording(tiny_en: Path, clip: Waveform, true_words: str) -> None:
    twice = np.concatenate([clip, np.zeros(16_000, np.float32), clip])
    with WhisperCpp(tiny_en) as runtime:
        found = runtime.segments(twice, None)
    assert len(found.segments) >= 2
    assert found.num_fallbacks == 0
    assert found.segments[0].start_s < 1 < found.segments[-1].end_s <= len(twice) / 16_000 + 1
    assert all(segment.start_s < segment.end_s for segment in found.segments)
    assert score([f"{true_words} {true_words}"], [found.text], languages=["en"]).words.rate < 0.2


def test_windows_that_are_decoded_again_are_counted(tiny_en: Path, clip: Waveform) -> None:
    stammer = np.tile(clip[8_000:20_000], 30)
    with WhisperCpp(tiny_en) as runtime:
        assert runtime.segments(stammer, None).num_fallbacks == 1
        assert runtime.segments(clip, None).num_fallbacks == 0


def broken(tiny_en: Path, folder: Path, name: str) -> Path:
    """Write a file that is broken in one way; all but the first two have the length of a sound one."""
    raw, written = bytearray(tiny_en.read_bytes()), read_ggml(tiny_en)
    if name == "cut short":
        raw = raw[: len(raw) // 2]
    elif name == "a token too many":
        (count,) = struct.unpack_from("<i", raw, written.tokens_offset)
        struct.pack_into("<i", raw, written.tokens_offset, count + 1)
        raw[written.tokens_offset + 4 : written.tokens_offset + 4] = struct.pack("<i", 1) + b"x"
    elif name == "a matrix transposed":
        tensor = written.tensors["decoder.blocks.0.cross_attn.query.weight"]
        turned = np.ascontiguousarray(tensor.values.T).astype("<f2").tobytes()
        raw[tensor.offset : tensor.offset + tensor.num_bytes] = turned
    elif name == "mel bins":
        struct.pack_into("<i", raw, 40, 128)
    elif name == "tokens shifted":
        tensor = written.tensors["decoder.token_embedding.weight"]
        turned = np.roll(tensor.values, 1, axis=0).astype("<f2").tobytes()
        raw[tensor.offset : tensor.offset + tensor.num_bytes] = turned
    elif name == "kind":
        struct.pack_into("<i", raw, 44, 99)
    else:
        assert name == "layers"
        struct.pack_into("<i", raw, 20, 100_000_000)
    path = folder / "broken.bin"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("name", ["a token too many", "a matrix transposed", "tokens shifted"])
def test_a_file_that_loads_and_is_wrong_has_other_words(
    name: str, tiny_en: Path, tmp_path: Path, clip: Waveform, true_words: str
) -> None:
    with WhisperCpp(broken(tiny_en, tmp_path, name)) as runtime:
        found = runtime.transcribe(clip, "en")
    assert found
    assert score([true_words], [found], languages=["en"]).words.rate > 0.5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut short", "not all tensors loaded"),
        ("mel bins", "tensor 'encoder.conv1.weight' has wrong size"),
        ("kind", "GGML_ASSERT"),
        ("layers", "GGML_ASSERT"),
    ],
)
def test_a_file_that_whisper_cpp_refuses_or_dies_of_is_an_error(
    name: str, reason: str, tiny_en: Path, tmp_path: Path
) -> None:
    path = broken(tiny_en, tmp_path, name)
    with pytest.raises(EartuneError, match=r"broken\.bin: whisper\.cpp ended .*; the file is broken") as caught:
        WhisperCpp(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_process_that_dies_between_two_clips_is_an_error(tiny_en: Path, clip: Waveform) -> None:
    others = psutil.Process().children()
    with WhisperCpp(tiny_en) as runtime:
        (process,) = (each for each in psutil.Process().children() if each not in others)
        process.kill()
        with pytest.raises(EartuneError, match=r"whisper\.cpp ended by SIGKILL"):
            runtime.transcribe(clip, "en")


@pytest.mark.parametrize("language", ["xx", "yue"])
def test_a_language_that_the_model_does_not_have_is_an_error(language: str, tiny_model: Path, tmp_path: Path) -> None:
    write_ggml(load(find(str(tiny_model))), tmp_path / "model.bin", kind="f16")
    with (
        WhisperCpp(tmp_path / "model.bin") as runtime,
        pytest.raises(InputError, match=f"language '{language}': the model has no token for it"),
    ):
        runtime.transcribe(np.zeros(16_000, dtype=np.float32), language)


def test_what_it_cannot_do_is_one_line(tiny_en: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"GGUF and something")
    with pytest.raises(InputError, match="it does not begin as a ggml file"):
        WhisperCpp(tmp_path / "model.bin")
    with pytest.raises(InputError, match="does not exist"):
        WhisperCpp(tmp_path / "missing.bin")
    with pytest.raises(InputError, match=r"device 'cuda': the wheel of whisper\.cpp .* use cpu"):
        WhisperCpp(tiny_en, device="cuda")
    with pytest.raises(InputError, match="task 'translate': the model is English-only"):
        WhisperCpp(tiny_en, task="translate")
    with WhisperCpp(tiny_en) as runtime, pytest.raises(InputError, match=r"a clip of 30\.1 s exceeds"):
        runtime.transcribe(np.zeros(481_600, dtype=np.float32), "en")


def test_without_pywhispercpp_it_says_what_to_install(tiny_en: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_pywhispercpp", None)
    with pytest.raises(InputError, match=r"whisper.cpp is not installed; pip install 'eartune\[whisper-cpp\]'"):
        WhisperCpp(tiny_en)
