"""Whisper in onnxruntime: eartune's own words, and what is said of folders that are broken."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper

from eartune.audio import decode
from eartune.errors import InputError
from eartune.export.long_clip import check_long, join_clips
from eartune.export.measure import measured
from eartune.export.parity import Parity, compare
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.onnx import write_onnx
from eartune.families.whisper.onnx.runtime import FILES, OnnxWhisper
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions, Waveform
from eartune.runtimes.runtime import MAX_TOKENS, ExposesLogits, SupportsLongForm
from eartune.scoring import score
from tests.tiny import LARGE_V3_VOCABULARY, clips_in, write_openai_checkpoint

pytestmark = pytest.mark.runtimes

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

OPTIONS = DecodeOptions(max_length=MAX_TOKENS)
NOISE = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)


class Written:
    """A model, its folder, clips with what is said in them, and eartune's own words."""

    def __init__(self, model: WhisperModel, folder: Path, clips: list[tuple[Path, str]], language: str | None) -> None:
        self.model, self.folder, self.language = model, folder, language
        self.waveforms: list[Waveform] = [decode(path) for path, _ in clips]
        self.references = [text for _, text in clips]
        self.words = [words(model, wave, language) for wave in self.waveforms]

    def parity(self, folder: Path, quantization: str, *, count: int | None = None) -> Parity:
        languages = [self.language] * len(self.waveforms[:count])
        with measured(OnnxWhisper, folder, self.waveforms[:count], languages) as (heard, _):
            return compare(
                self.references[:count],
                self.words[:count],
                heard.hypotheses,
                languages=["en"] * len(heard.hypotheses),
                quantization=quantization,
                cost=heard.cost,
            )


def words(model: WhisperModel, waveform: Waveform, language: str | None) -> str:
    return model.transcribe_batch([waveform], clips_in(language), OPTIONS)[0]


@pytest.fixture(scope="module")
def english(
    real_tiny_en: Path, demo_clips: list[tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory
) -> Written:
    speech, folder = load(find(str(real_tiny_en))), tmp_path_factory.mktemp("tiny.en")
    assert write_onnx(speech, folder, quantization="float32") < 1e-3
    return Written(speech, folder, demo_clips[:4], None)


@pytest.fixture(scope="module")
def multilingual(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    speech, folder = load(find(str(shared_dir / "models" / "whisper-tiny"))), tmp_path_factory.mktemp("tiny")
    assert write_onnx(speech, folder, quantization="float32") < 1e-3
    rows = read_manifest([shared_dir / "data" / "prompts-en" / "test.jsonl"]).utterances[:8]
    return Written(speech, folder, [(row.audio, row.text) for row in rows], "en")


@pytest.fixture(scope="module")
def tiny_folder(tiny_english_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-random.en")
    write_onnx(load(find(str(tiny_english_model))), folder, quantization="float32")
    return folder


def with_another(folder: Path, name: str, out: Path) -> Path:
    """Make a folder like another one but for a file, and return where that one is to be written."""
    out.mkdir()
    for path in folder.iterdir():
        if path.name != name:
            (out / path.name).symlink_to(path)
    return out / name


def test_an_english_only_model_writes_eartunes_words(english: Written) -> None:
    found = english.parity(english.folder, "float32")
    assert found.passes
    assert found.num_differing == 0, found.differing
    assert found.cost.size_bytes > 140_000_000


@pytest.mark.parametrize(
    ("num_vocabulary", "num_mels"), [(51865, 80), (51864, 80), (LARGE_V3_VOCABULARY, 128)], ids=["multi", "en", "v3"]
)
def test_random_models_of_every_kind_write_eartunes_words(num_vocabulary: int, num_mels: int, tmp_path: Path) -> None:
    path = write_openai_checkpoint(tmp_path / "m.pt", num_vocabulary=num_vocabulary, num_mels=num_mels)
    speech, folder = load(find(str(path))), tmp_path / "out"
    folder.mkdir()
    write_onnx(speech, folder, quantization="float32")
    runtime = OnnxWhisper(folder)
    assert isinstance(runtime, ExposesLogits)
    # None has the language detected
    for language in (None, "en") if num_vocabulary == 51864 else (None, "en", "de"):
        text = words(speech, NOISE, language)
        assert len(text.split()) > 3
        assert runtime.transcribe(NOISE, language) == text


def test_the_first_logits_are_torchs(english: Written) -> None:
    waveform = english.waveforms[0]
    network = english.model.network
    features = english.model.features(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
    with torch.no_grad():
        # <|startoftranscript|><|notimestamps|> of English-only models
        expected = network(**features, decoder_input_ids=torch.tensor([[50257, 50362]])).logits[0, -1]
    found = OnnxWhisper(english.folder).first_token_logits(waveform, "en")
    assert found.shape == (51864,)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3)


@pytest.mark.real_speech
def test_a_multilingual_model_writes_eartunes_words(multilingual: Written) -> None:
    found = multilingual.parity(multilingual.folder, "float32")
    assert found.passes
    assert found.num_differing == 0, found.differing


@pytest.mark.real_speech
@pytest.mark.parametrize(("quantization", "smaller"), [("float16", 0.55), ("int8", 0.35)])
def test_smaller_folders_keep_the_words(
    quantization: str, smaller: float, multilingual: Written, tmp_path: Path
) -> None:
    write_onnx(multilingual.model, tmp_path, quantization=quantization)
    full, small = (
        sum(path.stat().st_size for path in folder.glob("*.onnx")) for folder in (multilingual.folder, tmp_path)
    )
    assert small < smaller * full
    found = multilingual.parity(tmp_path, quantization)
    assert found.passes, found.verdict


@pytest.mark.real_speech
def test_a_language_is_detected_as_eartune_detects_it(multilingual: Written, shared_dir: Path) -> None:
    russian = decode(shared_dir / "samples" / "ru_cv.wav")
    with OnnxWhisper(multilingual.folder) as runtime:
        detected = runtime.transcribe(russian, None)
        assert detected == runtime.transcribe(russian, "ru") == words(multilingual.model, russian, None)
        assert detected != runtime.transcribe(russian, "en")
    translated = OnnxWhisper(multilingual.folder, task="translate").transcribe(russian, None)
    assert translated.isascii()
    assert not detected.isascii()


@pytest.mark.real_speech
def test_onnx_asr_writes_the_same_words(multilingual: Written) -> None:
    onnx_asr = pytest.importorskip("onnx_asr")
    model = onnx_asr.load_model("whisper", multilingual.folder)
    found = [
        model.recognize(wave, sample_rate=16_000, language=multilingual.language).strip()
        for wave in multilingual.waveforms
    ]
    assert found == multilingual.words


def test_a_transposed_weight_is_caught(english: Written, tmp_path: Path) -> None:
    broken = with_another(english.folder, "encoder_model.onnx", tmp_path / "broken")
    model = onnx.load(english.folder / broken.name)
    square = next(each for each in model.graph.initializer if list(each.dims) == [384, 384])
    square.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(square).T.copy(), square.name))
    onnx.save(model, broken)
    found = english.parity(broken.parent, "float32", count=1)
    assert not found.passes, found.verdict


def test_a_tokenizer_shifted_by_one_is_caught(english: Written, tmp_path: Path) -> None:
    broken = with_another(english.folder, "tokenizer.json", tmp_path / "broken")
    tokenizer = json.loads((english.folder / broken.name).read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    plain = sorted((token for token in vocabulary if not token.startswith("<|")), key=vocabulary.get)
    numbers = [vocabulary[token] for token in plain]
    vocabulary |= dict(zip(plain, [*numbers[1:], numbers[0]], strict=True))
    broken.write_text(json.dumps(tokenizer), encoding="utf-8")
    found = english.parity(broken.parent, "float32", count=1)
    assert not found.passes, found.verdict


def test_a_wrong_number_of_mel_bins_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    broken = with_another(tiny_folder, "preprocessor_config.json", tmp_path / "broken")
    broken.write_text(json.dumps(json.loads((tiny_folder / broken.name).read_text()) | {"feature_size": 128}))
    with pytest.raises(InputError, match=r"makes 128 mel bins and 3000 frames, its network takes 80 and 3000"):
        OnnxWhisper(broken.parent)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_another_is_one_line(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    broken = with_another(tiny_folder, name, tmp_path / "broken")
    with pytest.raises(InputError, match=f"has no {name}"):
        OnnxWhisper(broken.parent)
    broken.write_bytes(b"no such thing")
    with pytest.raises(InputError, match=r"onnxruntime cannot open it: |\.json:1:1: is not valid JSON") as refused:
        OnnxWhisper(broken.parent)
    assert "\n" not in str(refused.value)


def test_what_a_model_cannot_hear_is_one_line(tiny_folder: Path, tmp_path: Path) -> None:
    runtime = OnnxWhisper(tiny_folder)
    with pytest.raises(InputError, match=r"a clip of 30\.1 s exceeds"):
        runtime.transcribe(np.zeros(481_600, dtype=np.float32), "en")
    with pytest.raises(InputError, match="language 'ru': the model is English-only"):
        runtime.transcribe(NOISE, "ru")
    with pytest.raises(InputError, match="does not exist"):
        OnnxWhisper(tmp_path / "none")
    with pytest.raises(InputError, match="task 'translate': the model is English-only; leave it at transcribe"):
        OnnxWhisper(tiny_folder, task="translate")
    with pytest.raises(InputError, match="this onnxruntime cannot run on cuda"):
        OnnxWhisper(tiny_folder, device="cuda")


def test_onnxruntime_that_is_not_installed_is_named(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime is not installed; pip install 'eartune\[onnx\]'$"):
        OnnxWhisper(tiny_folder)


def test_a_long_recording_is_heard_once_and_in_order(english: Written, demo_clips: list[tuple[Path, str]]) -> None:
    clips = [decode(path) for path, _ in demo_clips[:10]]
    recording, joins_s = join_clips(clips)
    duration_s = len(recording) / 16_000
    assert duration_s > 30
    runtime = OnnxWhisper(english.folder)
    assert isinstance(runtime, SupportsLongForm)
    found = runtime.segments(recording, "en")
    checked = check_long(found.segments, joins_s=joins_s, duration_s=duration_s)
    assert checked.passes, checked.verdict
    assert found.num_fallbacks == 0


def test_a_long_recording_is_what_openai_whisper_hears(
    english: Written, real_tiny_en: Path, demo_clips: list[tuple[Path, str]]
) -> None:
    recording, _ = join_clips([decode(path) for path, _ in demo_clips[:10]])
    theirs = whisper.load_model(str(real_tiny_en), device="cpu").transcribe(
        recording,
        language="en",
        temperature=0.0,
        condition_on_previous_text=False,
        no_speech_threshold=None,
        fp16=False,
    )
    found = OnnxWhisper(english.folder).segments(recording, None).segments
    expected = [(round(each["start"], 2), round(each["end"], 2), each["text"].strip()) for each in theirs["segments"]]
    ours = [(each.start_s, each.end_s, each.text) for each in found]
    first_window = [each for each in expected if each[1] < 30]
    assert len(first_window) > 5
    assert ours[: len(first_window)] == first_window
    # its features are scaled by the loudest of the whole recording, here by that of each window
    np.testing.assert_allclose([each[:2] for each in ours], [each[:2] for each in expected], atol=0.2)
    assert (
        score([each[2] for each in expected], [each[2] for each in ours], languages=["en"] * len(ours)).words.rate
        < 0.05
    )
