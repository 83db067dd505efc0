"""Exports in the programs they are for: eartune's own words, on real models and real speech."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import torch
import whisper

from eartune.audio import decode
from eartune.errors import InputError
from eartune.export.long_clip import check_long, join_clips
from eartune.export.measure import measured
from eartune.export.parity import Parity, compare
from eartune.families.whisper.ctranslate2 import write_ctranslate2
from eartune.families.whisper.ggml import write_ggml
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.openai_export import write_openai
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions, Waveform
from eartune.runtimes.faster_whisper import FILES, FasterWhisper
from eartune.runtimes.openai_whisper import OpenAIWhisper
from eartune.runtimes.runtime import MAX_TOKENS, Runtime, SupportsLongForm
from eartune.runtimes.whisper_cpp import WhisperCpp
from tests.tiny import clips_in

pytest.importorskip("faster_whisper")

pytestmark = pytest.mark.runtimes


class Hearing(Runtime, SupportsLongForm, Protocol):
    """A runtime that hears long recordings."""


class Spoken:
    """A model, clips with what is said in them, and eartune's own words."""

    def __init__(self, model: WhisperModel, clips: list[tuple[Path, str]], language: str | None) -> None:
        self.model = model
        self.waveforms: list[Waveform] = [decode(path) for path, _ in clips]
        self.references = [text for _, text in clips]
        self.languages = [language] * len(clips)
        options = DecodeOptions(max_length=MAX_TOKENS)
        self.words = [
            text for wave in self.waveforms for text in model.transcribe_batch([wave], clips_in(language), options)
        ]

    def parity(
        self, open_runtime: Callable[[Path], Runtime], exported: Path, quantization: str, *, count: int | None = None
    ) -> Parity:
        with measured(open_runtime, exported, self.waveforms[:count], self.languages[:count]) as (heard, _):
            return compare(
                self.references[:count],
                self.words[:count],
                heard.hypotheses,
                languages=["en"] * len(heard.hypotheses),
                quantization=quantization,
                cost=heard.cost,
            )


@pytest.fixture(scope="module")
def english(real_tiny_en: Path, demo_clips: list[tuple[Path, str]]) -> Spoken:
    return Spoken(load(find(str(real_tiny_en))), demo_clips[:4], None)


@pytest.fixture(scope="module")
def multilingual(shared_dir: Path) -> Spoken:
    rows = read_manifest([shared_dir / "data" / "prompts-en" / "test.jsonl"]).utterances[:5]
    model = load(find(str(shared_dir / "models" / "whisper-tiny")))
    return Spoken(model, [(row.audio, row.text) for row in rows], "en")


@pytest.fixture(scope="module")
def folder(english: Spoken, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faster") / "tiny.en"
    write_ctranslate2(english.model, out, quantization="float32")
    return out


@pytest.mark.real_speech
def test_faster_whisper_writes_eartunes_words(multilingual: Spoken, tmp_path: Path) -> None:
    write_ctranslate2(multilingual.model, tmp_path / "tiny", quantization="float32")
    found = multilingual.parity(FasterWhisper, tmp_path / "tiny", "float32")
    assert found.passes
    assert found.num_differing == 0, found.differing


@pytest.mark.real_speech
def test_openai_whisper_writes_eartunes_words(multilingual: Spoken, tmp_path: Path) -> None:
    write_openai(multilingual.model, tmp_path / "tiny.pt", dtype="float32")
    found = multilingual.parity(OpenAIWhisper, tmp_path / "tiny.pt", "float32")
    assert found.passes
    assert found.num_differing == 0, found.differing


def test_whisper_cpp_passes_the_parity_of_float_files(english: Spoken, ggml: Path) -> None:
    found = english.parity(WhisperCpp, ggml, "f16")
    assert found.passes, found.verdict
    # the model lies in the memory of a child process
    assert found.cost.peak_memory_bytes is not None
    assert found.cost.peak_memory_bytes > ggml.stat().st_size


def test_an_english_only_model_writes_the_same_words_in_both(english: Spoken, folder: Path, tmp_path: Path) -> None:
    write_openai(english.model, tmp_path / "tiny.en.pt")
    for opener, exported, quantization in (
        (FasterWhisper, folder, "float32"),
        (OpenAIWhisper, tmp_path / "tiny.en.pt", "float16"),
    ):
        found = english.parity(opener, exported, quantization)
        assert found.passes
        assert found.num_differing == 0, found.differing
        assert found.cost.size_bytes > 70_000_000
        assert found.cost.load_s > 0
        assert 0 < found.cost.real_time_factor < 100
        assert found.cost.peak_memory_bytes is not None
        json.dumps(found.to_json(), allow_nan=False)


def test_int8_is_a_quarter_of_the_size_and_keeps_most_words(english: Spoken, folder: Path, tmp_path: Path) -> None:
    write_ctranslate2(english.model, tmp_path / "int8", quantization="int8")
    full, small = ((path / "model.bin").stat().st_size for path in (folder, tmp_path / "int8"))
    assert small < 0.3 * full
    assert english.parity(FasterWhisper, tmp_path / "int8", "int8").between.rate < 0.2


def transpose_a_tensor(weights: dict[str, torch.Tensor]) -> None:
    name = "decoder.blocks.2.cross_attn.value.weight"
    weights[name] = weights[name].T.contiguous()


def shift_token_ids(weights: dict[str, torch.Tensor]) -> None:
    weights["decoder.token_embedding.weight"] = weights["decoder.token_embedding.weight"].roll(1, dims=0)


@pytest.mark.parametrize("damage", [transpose_a_tensor, shift_token_ids])
def test_a_damaged_export_is_caught(damage: Callable[[dict], None], english: Spoken, tmp_path: Path) -> None:
    write_openai(english.model, tmp_path / "m.pt")
    checkpoint = torch.load(tmp_path / "m.pt", weights_only=True)
    damage(checkpoint["model_state_dict"])
    torch.save(checkpoint, tmp_path / "m.pt")
    # one clip: a damaged model writes until it may write no more
    found = english.parity(OpenAIWhisper, tmp_path / "m.pt", "float16", count=1)
    assert not found.passes
    assert found.verdict.startswith("fails: its WER changed by +")


def test_a_wrong_number_of_mel_bins_is_caught(english: Spoken, folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folder.iterdir():
        if path.name != "preprocessor_config.json":
            (broken / path.name).symlink_to(path)
    with pytest.raises(InputError, match=r"has no preprocessor_config\.json"):
        FasterWhisper(broken)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (broken / "preprocessor_config.json").write_text(json.dumps(settings | {"feature_size": 128}))
    with pytest.raises(InputError, match="128 mel bins, its network 80"):
        FasterWhisper(broken)
    write_openai(english.model, tmp_path / "m.pt")
    checkpoint = torch.load(tmp_path / "m.pt", weights_only=True)
    checkpoint["dims"]["n_mels"] = 128
    torch.save(checkpoint, tmp_path / "m.pt")
    with pytest.raises(InputError, match="openai-whisper cannot open it"):
        OpenAIWhisper(tmp_path / "m.pt")


def test_the_words_are_those_of_openais_own_decoding(real_tiny_en: Path, demo_clips: list[tuple[Path, str]]) -> None:
    theirs = whisper.load_model(str(real_tiny_en), device="cpu")
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False, temperature=0.0)
    clip = decode(demo_clips[0][0])
    expected = whisper.decode(theirs, whisper.log_mel_spectrogram(whisper.pad_or_trim(clip)), options).text
    assert OpenAIWhisper(real_tiny_en).transcribe(clip, None) == expected.strip()


@pytest.fixture(scope="module")
def ggml(english: Spoken, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ggml") / "tiny.en.bin"
    write_ggml(english.model, path, kind="f16")
    return path


@pytest.mark.parametrize("opener", [FasterWhisper, OpenAIWhisper, WhisperCpp])
def test_a_long_recording_is_heard_once_and_in_order(
    opener: Callable[[Path], Hearing],
    folder: Path,
    real_tiny_en: Path,
    ggml: Path,
    demo_clips: list[tuple[Path, str]],
) -> None:
    exports_ = {FasterWhisper: folder, OpenAIWhisper: real_tiny_en, WhisperCpp: ggml}
    recording, joins_s = join_clips([decode(path) for path, _ in demo_clips[:10]])
    duration_s = len(recording) / 16_000
    assert duration_s > 30
    with opener(exports_[opener]) as runtime:
        found = runtime.segments(recording, "en")
        assert runtime.segments(recording, "en") == found
    checked = check_long(found.segments, joins_s=joins_s, duration_s=duration_s)
    assert checked.passes, checked.verdict
    assert found.num_fallbacks is not None


@pytest.mark.parametrize("opener", [FasterWhisper, OpenAIWhisper])
def test_a_program_that_is_not_installed_is_named(
    opener: Callable[[Path], Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eartune.runtimes.runtime.find_spec", lambda _: None)
    for name in FILES:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"-whisper is not installed; pip install '.+'$"):
        opener(tmp_path)


def test_what_cannot_be_opened_or_decoded_is_one_line(folder: Path, real_tiny_en: Path, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"no model")
    (tmp_path / "empty").mkdir()
    for opener, path, said in (
        (OpenAIWhisper, tmp_path / "m.pt", "openai-whisper cannot open it"),
        (OpenAIWhisper, tmp_path / "none.pt", "does not exist"),
        (FasterWhisper, tmp_path / "none", "does not exist"),
        (FasterWhisper, tmp_path / "m.pt", "is not a folder"),
        (FasterWhisper, tmp_path / "empty", r"has no model\.bin"),
    ):
        with pytest.raises(InputError, match=said) as refused:
            opener(path)
        assert "\n" not in str(refused.value)
    for runtime in (FasterWhisper(folder), OpenAIWhisper(real_tiny_en)):
        with pytest.raises(InputError, match=r"a clip of 30\.1 s exceeds"):
            runtime.transcribe(np.zeros(481_600, dtype=np.float32), "en")
        with pytest.raises(InputError, match="language 'ru': the model is English-only"):
            runtime.transcribe(np.zeros(16_000, dtype=np.float32), "ru")
