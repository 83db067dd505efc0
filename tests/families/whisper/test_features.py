"""Log-mel against transformers' own extractor."""

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from eartune.families.whisper.decode import pad_waveforms
from eartune.families.whisper.features import LogMel

SECONDS = 16_000
WINDOW = 30 * SECONDS


def noise(num_samples: int, *, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def clip(num_samples: int, *, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades, as speech does."""
    swell = np.sin(np.linspace(0, 9, num_samples)) ** 2
    return (noise(num_samples, seed=seed) * swell).astype(np.float32)


BATCHES = {
    "one clip": [clip(5 * SECONDS)],
    "clips of unlike length": [clip(5 * SECONDS, seed=1), clip(1234, seed=2), clip(17 * SECONDS + 77, seed=3)],
    "a whole window": [clip(WINDOW)],
    "almost a window": [clip(WINDOW - 1), clip(WINDOW - 401), clip(WINDOW - 799)],
    "silence": [np.zeros(3 * SECONDS, dtype=np.float32)],
    "silence beside speech": [np.zeros(SECONDS, dtype=np.float32), clip(4 * SECONDS)],
    "one sample": [np.array([0.5], dtype=np.float32)],
    "very loud": [10 * clip(2 * SECONDS)],
    "very quiet": [1e-6 * clip(2 * SECONDS)],
}


@pytest.mark.parametrize("num_mels", [80, 128])
@pytest.mark.parametrize("name", BATCHES)
def test_features_equal_those_of_transformers(name: str, num_mels: int) -> None:
    waveforms = BATCHES[name]
    extractor = WhisperFeatureExtractor(feature_size=num_mels)
    expected = extractor(waveforms, sampling_rate=16_000, return_tensors="pt").input_features
    found = LogMel(num_mels)(pad_waveforms(waveforms))
    assert found.shape == (len(waveforms), num_mels, 3000)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_features_do_not_depend_on_the_other_clips_of_the_batch() -> None:
    short, long = clip(SECONDS), clip(20 * SECONDS)
    extract = LogMel(80)
    alone = extract(pad_waveforms([short]))[0]
    together = extract(pad_waveforms([short, long]))[0]
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=0)


def test_a_recording_longer_than_a_window_has_more_frames() -> None:
    waveform = clip(40 * SECONDS)
    found = LogMel(80)(pad_waveforms([waveform]))
    extractor = WhisperFeatureExtractor()
    expected = extractor(waveform, sampling_rate=16_000, truncation=False, padding="longest", return_tensors="pt")
    frames = expected.input_features.shape[2]
    # the last two frames of the extractor reflect speech, ours see the silence after it
    torch.testing.assert_close(found[..., : frames - 2], expected.input_features[..., :-2], atol=1e-5, rtol=0)


@pytest.mark.any_processor
def test_features_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = LogMel(80)(pad_waveforms([clip(SECONDS)]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, LogMel(80)(pad_waveforms([clip(SECONDS)])), atol=1e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_on_the_gpu_equal_those_on_the_cpu() -> None:
    waveforms = pad_waveforms([clip(5 * SECONDS), clip(12 * SECONDS)])
    extract = LogMel(128)
    expected = extract(waveforms)
    torch.testing.assert_close(extract.cuda()(waveforms.cuda()).cpu(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [n for n in BATCHES if "window" not in n])
def test_a_shorter_window_is_the_beginning_of_the_stock_one(name: str) -> None:
    waveforms = pad_waveforms(BATCHES[name])
    extract = LogMel(80)
    # a little more silence than the transform's own reach
    window_s = waveforms.shape[1] / SECONDS + 0.1
    short = extract(waveforms, window_s)
    assert short.shape[2] == pytest.approx(100 * window_s, abs=1)
    torch.testing.assert_close(short, extract(waveforms)[:, :, : short.shape[2]], atol=1e-6, rtol=0)
