"""The real whisper-tiny on real speech, where it is at hand: the same words and settings as upstream, a real gain."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from eartune.audio import decode
from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.families.whisper.load import find, load
from eartune.families.whisper.openai import generation_config
from eartune.manifest import read_manifest, write_manifest
from eartune.model import DecodeOptions
from eartune.verbs.evaluate import evaluate
from eartune.verbs.merge import merge
from eartune.verbs.train import train
from eartune.verbs.transcribe import transcribe
from tests.tiny import clips_in

pytestmark = pytest.mark.real_speech


@pytest.fixture(scope="module")
def whisper_tiny(shared_dir: Path) -> Path:
    return shared_dir / "models" / "whisper-tiny"


@torch.inference_mode()
def test_texts_equal_those_of_transformers(whisper_tiny: Path, shared_dir: Path) -> None:
    prompts = read_manifest([shared_dir / "data" / "prompts-en" / "test.jsonl"]).utterances[:6]
    russian = shared_dir / "samples" / "golos" / "001ce26c07c20eaa0d666b824c6c6924.wav"
    clips = [(utterance.audio, "en") for utterance in prompts] + [(russian, "ru")]
    network = WhisperForConditionalGeneration.from_pretrained(whisper_tiny).eval()
    network.generation_config.forced_decoder_ids = None
    tokenizer, extractor = WhisperTokenizer.from_pretrained(whisper_tiny), WhisperFeatureExtractor()
    expected = []
    for path, language in clips:
        features = extractor(decode(path), sampling_rate=16_000, return_tensors="pt").input_features
        tokens = network.generate(features, language=language, task="transcribe")
        expected.append(tokenizer.batch_decode(tokens, skip_special_tokens=True)[0].strip())
    model = load(find(str(whisper_tiny)))
    options = DecodeOptions(max_length=448)
    found = model.transcribe_batch(
        [decode(path) for path, _ in clips], clips_in(*[language for _, language in clips]), options
    )
    assert found == expected


def test_generation_settings_made_from_the_tokenizer_are_openais(whisper_tiny: Path) -> None:
    official = GenerationConfig.from_pretrained(whisper_tiny)
    made = generation_config(WhisperTokenizer.from_pretrained(whisper_tiny), multilingual=True)
    same = ["suppress_tokens", "begin_suppress_tokens", "no_timestamps_token_id", "lang_to_id", "task_to_id"]
    for name in [*same, "decoder_start_token_id", "eos_token_id", "is_multilingual", "max_length"]:
        assert getattr(made, name) == getattr(official, name), name


def test_a_recording_longer_than_a_window_loses_nothing(whisper_tiny: Path, shared_dir: Path, tmp_path: Path) -> None:
    import numpy as np  # noqa: PLC0415
    import soundfile  # noqa: PLC0415

    speech = decode(shared_dir / "samples" / "jfk.flac")
    prompts = read_manifest([shared_dir / "data" / "prompts-en" / "test.jsonl"]).utterances
    between = [decode(prompt.audio) for prompt in prompts if 3 < prompt.duration_s < 8][:4]
    # what repeats itself would be decoded again at higher temperatures
    soundfile.write(tmp_path / "long.wav", np.concatenate([speech, *between, speech]), 16_000)
    (found,) = transcribe(str(whisper_tiny), [tmp_path / "long.wav"], language="en")
    assert found.text.lower().count("your country") == 4
    assert found.text.lower().count("valid extension") == 2
    assert "the conference will begin" in found.text
    times = [(segment.start_s, segment.end_s) for segment in found.segments]
    assert times == sorted(times)
    assert 36 < times[-1][1] <= found.duration_s


@pytest.mark.parametrize("optim", ["adamw_torch_fused", "schedule_free_adamw"])
def test_a_little_training_on_real_prompts_helps(
    optim: str, whisper_tiny: Path, shared_dir: Path, tmp_path: Path
) -> None:
    """Whisper writes prompts with capitals and points; after some of them it writes them as the corpus does."""
    source = shared_dir / "data" / "prompts-en"
    for split, count in (("train", 64), ("val", 8)):
        rows = [row for row in read_manifest([source / f"{split}.jsonl"]).utterances if row.duration_s > 1]
        write_manifest(tmp_path / f"{split}.jsonl", rows[:count])
    given = {
        "base_model": str(whisper_tiny),
        "train": [str(tmp_path / "train.jsonl")],
        "val": [str(tmp_path / "val.jsonl")],
        "output_dir": str(tmp_path / "run"),
        "language": "en",
        "freeze_encoder": True,
        "optim": optim,
        "learning_rate": 1e-3,
        "num_train_epochs": 1,
        "generation_max_length": 48,
        "eval_on_start": True,
        "metric_for_best_model": "loss",
        "dataloader_num_workers": 0,
    }
    trained = train(resolve_config(overrides=[override(name, value) for name, value in given.items()]))
    first, *_ = trained.validations
    assert trained.best["eval_loss"] < 0.9 * first["eval_loss"]
    merged = merge(str(trained.path), out=tmp_path / "merged")
    assert merged.largest_difference <= 1e-4
    found = evaluate(
        str(tmp_path / "merged"), data=[tmp_path / "val.jsonl"], out=tmp_path / "out", options=DecodeOptions(48)
    )
    assert found.base is not None
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["scores"]["raw_cer"] < scores["base_scores"]["raw_cer"]
