"""The folders we write, in transformers by itself: the words of NeMo's and OpenAI's models, and those of eartune."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoProcessor, pipeline

from eartune.audio import decode
from eartune.errors import InputError
from eartune.export.long_clip import check_long, join_clips
from eartune.families.registry import family
from eartune.families.whisper.exports import first_token_logits
from eartune.families.whisper.load import find, load
from eartune.model import DecodeOptions
from eartune.runtimes.registry import open_runtime
from eartune.runtimes.runtime import ExposesLogits, SupportsLongForm
from tests.tiny import clips_in
from tests.tiny_nemo import STREAMING, write_tiny_nemo

pytestmark = pytest.mark.runtimes

# what NeMo's own tiny models were taught to say of their clips
KINDS = ("canary", "parakeet-ctc", "parakeet-hybrid", "parakeet-rnnt", "parakeet-tdt")

# of the tiny models' tokenizers, in characters
LONGEST_PIECE = 8


@pytest.mark.real_speech
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_nemos_model_says_the_same_words_in_transformers(
    kind: str, shared_dir: Path, tmp_path: Path
) -> None:
    models = shared_dir / "models" / "nemo-tiny"
    family_module = family("canary" if kind == "canary" else "parakeet")
    model = family_module.load(family_module.find(str(models / f"{kind}.nemo")))
    model.save(tmp_path / "model")
    clips = [decode(path) for path in sorted((models / "audio" / kind).glob("*.wav"))[:4]]
    assert clips
    expected = [model.transcribe_batch([clip], clips_in("en"), DecodeOptions())[0] for clip in clips]
    assert all(expected)
    with open_runtime(tmp_path / "model") as runtime:
        assert [runtime.transcribe(clip, "en") for clip in clips] == expected
    # the copy that is read back and written again is the same
    again = family_module.load(family_module.find(str(tmp_path / "model")))
    again.save(tmp_path / "again")
    assert [again.transcribe_batch([clip], clips_in("en"), DecodeOptions())[0] for clip in clips] == expected
    with open_runtime(tmp_path / "again") as runtime:
        assert runtime.transcribe(clips[0], "en") == expected[0]


@pytest.mark.parametrize("kind", STREAMING)
def test_a_folder_that_streams_says_the_same_in_transformers(kind: str, tmp_path: Path) -> None:
    family_module = family("parakeet")
    model = family_module.load(family_module.find(str(write_tiny_nemo(tmp_path / "model.nemo", kind))))
    model.save(tmp_path / "model")
    generator = np.random.default_rng(0)
    clips = [0.1 * generator.standard_normal(size).astype(np.float32) for size in (16_000, 50_000)]
    said = set()
    with open_runtime(tmp_path / "model") as runtime:
        for language in ("en", "ru", "fr", "sw", None):
            expected = [model.transcribe_batch([clip], clips_in(language), DecodeOptions())[0] for clip in clips]
            heard = [runtime.transcribe(clip, language) for clip in clips]
            for mine, theirs in zip(expected, heard, strict=True):
                # random weights write all the tokens that a frame may have, and transformers ends one earlier
                assert mine.startswith(theirs)
                assert len(mine) - len(theirs) <= LONGEST_PIECE
            said.add(heard[1])
    assert len(said) == (4 if kind == "prompted" else 1)


@pytest.mark.real_speech
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "canary"])
def test_a_parakeets_folder_is_all_that_a_pipeline_needs(kind: str, shared_dir: Path, tmp_path: Path) -> None:
    models = shared_dir / "models" / "nemo-tiny"
    family_module = family("parakeet")
    model = family_module.load(family_module.find(str(models / f"{kind}.nemo")))
    model.save(tmp_path / "model")
    recognise = pipeline("automatic-speech-recognition", model=str(tmp_path / "model"))
    clips = [decode(path) for path in sorted((models / "audio" / kind).glob("*.wav"))[:4]]
    expected = [model.transcribe_batch([clip], clips_in("en"), DecodeOptions())[0] for clip in clips]
    assert [recognise(clip)["text"] for clip in clips] == expected


@pytest.mark.real_speech
@pytest.mark.parametrize("kind", ["parakeet-rnnt", "parakeet-tdt"])
def test_segments_of_a_transducer_are_its_words(kind: str, shared_dir: Path, tmp_path: Path) -> None:
    models = shared_dir / "models" / "nemo-tiny"
    family_module = family("parakeet")
    family_module.load(family_module.find(str(models / f"{kind}.nemo"))).save(tmp_path / "model")
    clip = decode(sorted((models / "audio" / kind).glob("*.wav"))[0])
    with open_runtime(tmp_path / "model") as runtime:
        assert isinstance(runtime, SupportsLongForm)
        found = runtime.segments(clip, None)
        assert found.text == runtime.transcribe(clip, None)
    starts = [segment.start_s for segment in found.segments]
    assert starts == sorted(starts)
    assert all(segment.start_s < segment.end_s <= len(clip) / 16_000 + 0.08 for segment in found.segments)


@pytest.mark.real_speech
def test_a_canary_is_asked_in_its_own_words(shared_dir: Path, tmp_path: Path) -> None:
    family_module = family("canary")
    model = family_module.load(family_module.find(str(shared_dir / "models" / "nemo-tiny" / "canary.nemo")))
    model.save(tmp_path / "model")
    processor = AutoProcessor.from_pretrained(tmp_path / "model", local_files_only=True)
    found = processor.apply_transcription_request(
        np.zeros(16_000, dtype=np.float32), source_language="en", target_language="de", punctuation=False
    )
    # as NeMo's Canary2PromptFormatter has it: the mark of a word's beginning comes first
    assert processor.tokenizer.convert_ids_to_tokens(found["decoder_input_ids"][0].tolist()) == [
        "▁", "<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", "<|en|>", "<|de|>", "<|nopnc|>",
        "<|noitn|>", "<|notimestamp|>", "<|nodiarize|>",
    ]  # fmt: skip
    with open_runtime(tmp_path / "model") as runtime:
        with pytest.raises(InputError, match="no language is named, and Canary detects none"):
            runtime.transcribe(np.zeros(16_000, dtype=np.float32), None)
        with pytest.raises(InputError, match="language 'xx'"):
            runtime.transcribe(np.zeros(16_000, dtype=np.float32), "xx")


@pytest.fixture(scope="module")
def english(real_tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders") / "tiny.en"
    load(find(str(real_tiny_en))).save(folder)
    return folder


def test_whispers_words_and_numbers_are_eartunes(
    english: Path, real_tiny_en: Path, demo_clips: list[tuple[Path, str]]
) -> None:
    model = load(find(str(real_tiny_en)))
    clips = [decode(path) for path, _ in demo_clips[:2]]
    with open_runtime(english) as runtime:
        assert isinstance(runtime, ExposesLogits)
        for clip in clips:
            expected = model.transcribe_batch([clip], clips_in(None), DecodeOptions())[0]
            assert runtime.transcribe(clip, None) == expected
            assert np.abs(runtime.first_token_logits(clip, "en") - first_token_logits(model, clip, "en")).max() < 2e-3
        with pytest.raises(InputError, match=r"a clip of 30\.1 s exceeds"):
            runtime.transcribe(np.zeros(481_600, dtype=np.float32), "en")
        with pytest.raises(InputError, match="language 'ru': the model is English-only"):
            runtime.transcribe(clips[0], "ru")
    with pytest.raises(InputError, match="task 'translate': the model is English-only"):
        open_runtime(english, task="translate")


def test_whisper_hears_a_long_recording_in_order(english: Path, demo_clips: list[tuple[Path, str]]) -> None:
    recording, joins_s = join_clips([decode(path) for path, _ in demo_clips[:10]])
    duration_s = len(recording) / 16_000
    assert duration_s > 30
    with open_runtime(english) as runtime:
        assert isinstance(runtime, SupportsLongForm)
        found = runtime.segments(recording, None)
    checked = check_long(found.segments, joins_s=joins_s, duration_s=duration_s)
    assert checked.passes, checked.verdict
    assert found.num_fallbacks is None


def test_other_models_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="model_type is 'bert'; supported are only whisper, canary,"):
        open_runtime(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(InputError, match="transformers cannot open it"):
        open_runtime(tmp_path)
