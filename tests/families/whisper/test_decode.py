"""Clips in stock and in short windows, greedily and with beams, against networks built for such windows."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from eartune.families.whisper import decode as whisper_decode
from eartune.families.whisper.decode import pad_waveforms
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.model import DecodeOptions, Network, Waveform
from tests.tiny import clips_in

CLIPS: list[Waveform] = [
    loudness * np.random.default_rng(seed).standard_normal(round(16_000 * seconds)).astype(np.float32)
    for seed, (seconds, loudness) in enumerate([(1.3, 0.05), (0.4, 0.3), (2.0, 0.6)])
]
# 2.0 s and 1.28 s of silence, in steps of 0.32 s
SHORT_S = 3.52


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> WhisperModel:
    model = load(find(str(tiny_model)))
    settings = model.network.generation_config
    timestamps = range(settings.no_timestamps_token_id, model.network.config.vocab_size)
    settings.suppress_tokens = sorted({*settings.suppress_tokens, *timestamps})
    return model


@pytest.mark.parametrize(
    ("longest_s", "expected"), [(0.0, 1.28), (0.01, 1.6), (0.32, 1.6), (2.0, 3.52), (28.4, 29.76), (28.8, 30), (30, 30)]
)
def test_a_short_window_is_the_longest_clip_and_a_little_silence(
    model: WhisperModel, longest_s: float, expected: float
) -> None:
    assert model.window.width_s(longest_s, "short") == pytest.approx(expected)
    assert model.window.width_s(longest_s, "padded") == 30


def built_for(network: Network, duration_s: float) -> WhisperForConditionalGeneration:
    """Return transformers' own network for windows of this length, with the weights of another."""
    config, positions = copy.deepcopy(network.config), round(50 * duration_s)
    config.max_source_positions = positions
    built = WhisperForConditionalGeneration(config).eval()
    weights = network.state_dict()
    name = "model.encoder.embed_positions.weight"
    built.load_state_dict(weights | {name: weights[name][:positions]})
    built.generation_config = copy.deepcopy(network.generation_config)
    return built


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("window", ["padded", "short"])
def test_texts_are_those_of_a_network_built_for_the_window(model: WhisperModel, window: Any, num_beams: int) -> None:
    duration_s = {"padded": 30.0, "short": SHORT_S}[window]
    languages = ["ru", "en", "de"]
    tokens = built_for(model.network, duration_s).generate(
        model.log_mel(pad_waveforms(CLIPS), duration_s),
        max_length=20,
        num_beams=num_beams,
        return_timestamps=False,
        language=languages,
        task="transcribe",
    )
    expected = [text.strip() for text in model.tokenizer.batch_decode(tokens, skip_special_tokens=True)]
    options = DecodeOptions(max_length=20, num_beams=num_beams, window=window)
    assert model.transcribe_batch(CLIPS, clips_in(*languages), options) == expected
    assert len(set(expected)) == 3


def test_short_windows_greedily_by_hand(model: WhisperModel) -> None:
    """The whole network anew for each token, one clip after the other, no memory of the tokens before."""
    network, settings = model.network, model.network.generation_config
    expected = []
    for row in range(len(CLIPS)):
        window = model.log_mel(pad_waveforms(CLIPS), SHORT_S)[row : row + 1]
        assert window.shape[2] == 352
        tokens = model.labeler.prompt("en")
        for step in range(10):
            with torch.no_grad():
                scores = network(input_features=window, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            scores[settings.suppress_tokens + (settings.begin_suppress_tokens if step == 0 else [])] = -torch.inf
            tokens.append(int(scores.argmax()))
            if tokens[-1] == settings.eos_token_id:
                break
        expected.append(model.tokenizer.decode(tokens, skip_special_tokens=True).strip())
    assert (
        model.transcribe_batch(CLIPS, clips_in("en", "en", "en"), DecodeOptions(max_length=10, window="short"))
        == expected
    )
    assert model.transcribe_batch(CLIPS, clips_in("en", "en", "en"), DecodeOptions(max_length=10)) != expected


def test_beams_know_some_languages_and_detect_the_others(model: WhisperModel) -> None:
    options = DecodeOptions(max_length=8, num_beams=2)
    detected = model.transcribe_batch(CLIPS, clips_in(None, None, None), options)
    told = model.transcribe_batch(CLIPS, clips_in("ru", "ru", "ru"), options)
    assert model.transcribe_batch(CLIPS, clips_in(None, "ru", None), options) == [detected[0], told[1], detected[2]]


def test_a_model_that_wants_no_repetition_is_left_to_generate(
    model: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = model.transcribe_batch(CLIPS, clips_in("en", "en", "en"), DecodeOptions(max_length=20))
    monkeypatch.setattr(model.network.generation_config, "no_repeat_ngram_size", 2)
    found = model.transcribe_batch(CLIPS, clips_in("en", "en", "en"), DecodeOptions(max_length=20))
    assert found != usual
    monkeypatch.setattr(whisper_decode, "supports_greedy_loop", lambda settings: True)  # noqa: ARG005
    assert model.transcribe_batch(CLIPS, clips_in("en", "en", "en"), DecodeOptions(max_length=20)) == usual


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [("renormalize_logits", True), ("exponential_decay_length_penalty", (1, 1.5)), ("an_option_of_a_later_version", 1)],
)
def test_a_model_with_other_options_never_meets_the_greedy_loop(
    model: WhisperModel, monkeypatch: pytest.MonkeyPatch, *, name: str, value: object, fallback: bool
) -> None:
    """Neither at the temperature 0 nor, where a text repeats itself, above."""

    def refuse(*given: object, **settings: object) -> None:
        raise AssertionError(f"the loop is asked: {given}, {settings}")

    monkeypatch.setattr(model.network.generation_config, name, value, raising=False)
    monkeypatch.setattr(whisper_decode, "decode_with_first_step", refuse)
    monkeypatch.setattr(whisper_decode, "repeats_itself", lambda _: True)
    options = DecodeOptions(max_length=8, no_speech=False, fallback=fallback)
    texts = model.transcribe_batch(CLIPS, clips_in("en", "ru", "de"), options)
    assert texts == model.transcribe_batch(CLIPS, clips_in("en", "ru", "de"), options)
    assert len(texts) == 3


def test_words_that_are_drawn_are_the_same_each_time(model: WhisperModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that repeat themselves are drawn anew at higher temperatures, whatever the state of the generator."""
    monkeypatch.setattr(whisper_decode, "repeats_itself", lambda _: True)
    options = DecodeOptions(max_length=16, window="short", no_speech=False, fallback=True)
    found = []
    for seed in (7, 8):
        torch.manual_seed(seed)
        found.append(model.transcribe_batch(CLIPS, clips_in("en", "ru", "de"), options))
    assert found[0] == found[1]
    greedy = model.transcribe_batch(CLIPS, clips_in("en", "ru", "de"), DecodeOptions(16, 1, "short", no_speech=False))
    assert found[0] != greedy
