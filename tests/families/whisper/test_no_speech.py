"""Silence and loops against openai-whisper: its thresholds, its chance of no speech, and what it writes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from whisper.utils import compression_ratio

from eartune.audio import decode as decode_audio
from eartune.families.whisper import decode
from eartune.families.whisper.greedy import average_logprob, decode_with_first_step, prompts
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.families.whisper.no_speech import is_constant, repeats_itself
from eartune.families.whisper.openai_export import write_openai
from eartune.model import DecodeOptions, Waveform
from tests.tiny import clips_in

RATE_HZ = 16_000
PLAIN = DecodeOptions(max_length=8, no_speech=False)
USUAL = DecodeOptions(max_length=8)


def noise(seconds: float, *, loudness: float = 0.1) -> Waveform:
    return (loudness * np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def silence(seconds: float) -> Waveform:
    return np.zeros(round(seconds * RATE_HZ), dtype=np.float32)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> WhisperModel:
    return load(find(str(tiny_model)))


@torch.no_grad()
def decoded(model: WhisperModel, waveform: Waveform) -> tuple[float, float]:
    """Return the mean log-probability of a clip's tokens, and the chance of no speech."""
    states = model.encode(model.features(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)])))
    start = prompts(model.network, ["<|en|>"], task="transcribe")
    tokens, first = decode_with_first_step(model.network, states, torch.tensor(start), max_length=224)
    return average_logprob(model.network, states, start[0], tokens[0]), float(first.no_speech_B[0])


def test_the_chance_of_no_speech_is_that_of_openai_whisper(model: WhisperModel, tiny_model: Path) -> None:
    theirs = whisper.load_model(str(tiny_model), device="cpu")
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(noise(2.0)))
    options = whisper.DecodingOptions(language="en", fp16=False, without_timestamps=True, sample_len=1)
    expected = whisper.decode(theirs, mel, options).no_speech_prob
    states = model.encode(model.features(torch.from_numpy(noise(2.0))[None], torch.tensor([32_000])))
    start = torch.tensor(prompts(model.network, ["<|en|>"], task="transcribe"))
    _, first = decode_with_first_step(model.network, states, start, max_length=1)
    assert float(first.no_speech_B[0]) == pytest.approx(expected, rel=1e-3)


@pytest.fixture
def expects_silence(model: WhisperModel) -> Iterator[WhisperModel]:
    """The model as it is when it has learnt that there is no speech: it says so, and would end at once."""
    added_V = torch.zeros(model.network.config.vocab_size)
    added_V[model.network.generation_config.no_timestamps_token_id - 1] = 100
    added_V[model.network.generation_config.eos_token_id] = 90
    handle = model.network.proj_out.register_forward_hook(lambda head, given, scores: scores + added_V)  # noqa: ARG005
    yield model
    handle.remove()


def test_a_model_that_finds_no_speech_writes_nothing(expects_silence: WhisperModel) -> None:
    """What the labels of empty texts teach it; decoding keeps a model from ending at once, so that it would go on."""
    clips, spoken = [noise(1.0), noise(2.0)], clips_in("en", None)
    assert all(expects_silence.transcribe_batch(clips, spoken, PLAIN))
    assert expects_silence.transcribe_batch(clips, spoken, USUAL) == ["", ""]
    assert expects_silence.transcribe_long(clips[0], spoken[0]) == []


def test_speech_is_written_whatever_is_beside_it(model: WhisperModel) -> None:
    clips, spoken = [noise(1.0), silence(2.0)], clips_in("en", "en")
    expected = model.transcribe_batch(clips, spoken, PLAIN)
    assert all(expected)
    assert model.transcribe_batch(clips, spoken, USUAL) == [expected[0], ""]


def test_features_of_silence_are_constant(model: WhisperModel) -> None:
    features = model.log_mel(torch.from_numpy(np.stack([silence(1.0), noise(1.0)])))
    assert is_constant(features).tolist() == [True, False]


@pytest.mark.parametrize("text", ["", "a", "the pump is running", "you you " * 4, "no " * 50, "ах " * 30, "aaaa" * 200])
def test_texts_that_repeat_themselves_are_openai_whispers(text: str) -> None:
    assert repeats_itself(text) == (bool(text) and compression_ratio(text) > 2.4)


def test_a_loop_is_decoded_again_until_it_is_none(model: WhisperModel, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def is_loop(text: str) -> bool:
        judged.append(text)
        return len(judged) < 3

    monkeypatch.setattr(decode, "repeats_itself", is_loop)
    drawing = DecodeOptions(max_length=8, fallback=True)
    clip, spoken = [noise(1.0)], clips_in("en")
    greedy = model.transcribe_batch(clip, spoken, DecodeOptions(max_length=8))
    drawn = model.transcribe_batch(clip, spoken, drawing)
    assert judged[0] == greedy[0]
    assert drawn == [judged[-1]]
    assert len(set(judged)) == 3
    judged.clear()
    assert model.transcribe_batch(clip, spoken, drawing) == drawn


@pytest.mark.real_speech
def test_whisper_tiny_says_nothing_where_openai_whisper_says_nothing(shared_dir: Path, tmp_path: Path) -> None:
    model = load(find(str(shared_dir / "models" / "whisper-tiny")))
    write_openai(model, tmp_path / "tiny.pt", dtype="float32")
    theirs = whisper.load_model(str(tmp_path / "tiny.pt"), device="cpu")
    clips, spoken = [silence(5.0), noise(5.0), noise(5.0)], clips_in("en", "en", None)
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clips[1]))
    options = whisper.DecodingOptions(language="en", fp16=False, without_timestamps=True)
    expected = whisper.decode(theirs, mel, options)
    assert decoded(model, clips[1]) == pytest.approx((expected.avg_logprob, expected.no_speech_prob), rel=0.01)
    assert theirs.transcribe(clips[1], language="en", fp16=False)["text"] == ""
    assert all(model.transcribe_batch(clips, spoken, DecodeOptions(no_speech=False)))
    assert model.transcribe_batch(clips, spoken, DecodeOptions()) == ["", "", ""]
    assert model.transcribe_long(clips[1], spoken[0]) == []
    # a pause in a long recording, in which transformers' decoding says "you"
    speech = decode_audio(shared_dir / "samples" / "jfk.flac")[: 4 * RATE_HZ]
    segments = model.transcribe_long(np.concatenate([speech, silence(56.0), speech]), spoken[0])
    assert segments
    assert not [segment for segment in segments if segment.start_s > 5 and segment.end_s < 58]
