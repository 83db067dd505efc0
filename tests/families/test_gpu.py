"""NeMo's families on a GPU: features, losses, gradients and texts are those of the CPU."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from eartune.families.registry import family, family_of
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions, PlacedUtterance, SpeechModel
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.plan import MicroBatch
from eartune.training.batching.windows import Window
from eartune.training.loss import SpeechLoss
from tests.tiny import clips_in
from tests.tiny_nemo import MODELS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, tiny_nemo: dict[str, Path]) -> SpeechModel:
    spec = str(tiny_nemo[request.param])
    family_module = family(family_of(spec) or "")
    return family_module.load(family_module.find(spec), language="en")


def loss_and_gradients(model: SpeechModel, device: str, tiny_speech: Path) -> tuple[float, dict[str, torch.Tensor]]:
    utterances = read_manifest([tiny_speech]).utterances
    windows = tuple(
        Window((PlacedUtterance(row, 0.0, utterances[row].duration_s),), utterances[row].duration_s, 2.0)
        for row in range(4)
    )
    batch = SpeechDataset(utterances, model)[MicroBatch(windows, 2.0)]
    model.network.to(device).eval()
    # cuDNN's LSTM has a backward in training mode only, where there is dropout
    with torch.backends.cudnn.flags(enabled=False):
        loss = SpeechLoss(model).train()([batch])
        loss.backward()
    named = model.network.named_parameters()
    return float(loss.detach()), {name: p.grad.cpu() for name, p in named if p.grad is not None}


def test_losses_and_gradients_are_those_of_the_cpu(model: SpeechModel, tiny_speech: Path) -> None:
    on_gpu = copy.deepcopy(model)
    expected, gradients = loss_and_gradients(model, "cpu", tiny_speech)
    found, on_device = loss_and_gradients(on_gpu, "cuda", tiny_speech)
    assert found == pytest.approx(expected, rel=1e-3)
    assert on_device.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(on_device[name], gradient, rtol=1e-2, atol=1e-3 * float(gradient.abs().max()) + 1e-6)


def test_texts_are_those_of_the_cpu(model: SpeechModel) -> None:
    generator = np.random.default_rng(0)
    clips = [0.1 * generator.standard_normal(16_000 + 3_000 * number).astype(np.float32) for number in range(3)]
    asked, options = clips_in("en", "en", "en"), DecodeOptions(max_length=12)
    model.network.eval()
    expected = model.transcribe_batch(clips, asked, options)
    model.network.to("cuda")
    assert model.transcribe_batch(clips, asked, options) == expected
