"""Compiled layers: the same results, and one graph for all shapes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.config.adapter import AdapterSection
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.model import DecodeOptions
from eartune.training.adaptation.adapters import attach, lora_config
from eartune.training.adaptation.targets import resolve_targets
from eartune.training.compiling import compile_layers, uncompiled
from tests.tiny import clips_in


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def batch(model: WhisperModel, rows: int, seconds: float, tokens: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    waveforms = 0.1 * torch.randn(rows, round(16_000 * seconds), generator=generator)
    ids = torch.randint(0, 1000, (rows, tokens), generator=generator)
    chosen = torch.arange(rows * tokens)
    return {
        **model.features(waveforms, torch.full((rows,), waveforms.shape[1]), seconds), "decoder_input_ids": ids,
        "target_positions": chosen, "targets": ids.flatten(),
    }  # fmt: skip


def gradients(model: WhisperModel, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    model.network.train()
    model.network.zero_grad()
    torch.autograd.backward(model.summed_loss([inputs]) / len(inputs["targets"]))
    return [p.grad.clone() for p in model.network.parameters() if p.grad is not None]


SHAPES = [(rows, seconds, tokens) for rows, seconds, tokens in ((2, 1.6, 5), (3, 3.2, 9), (5, 2.56, 4), (4, 6.4, 12))]


def adapted(model: WhisperModel) -> None:
    adapter = AdapterSection.model_validate({"r": 4, "lora_dropout": 0.0})
    targets = resolve_targets(model.network, adapter, model.blocks, freeze_encoder=False)
    config = lora_config(adapter, targets)
    model.network = attach(model.network, config, sample_batches=lambda **_: [], loss=lambda _: torch.zeros(()))


@pytest.mark.parametrize("prepare", [lambda _: None, adapted], ids=["full", "lora"])
def test_many_shapes_share_few_graphs_and_have_the_gradients_of_before(
    prepare: Callable[[WhisperModel], Any], tiny_model: Path
) -> None:
    model = load(find(str(tiny_model)))
    prepare(model)
    expected = [gradients(model, batch(model, *shape)) for shape in SHAPES]
    assert compile_layers(model.network, model.blocks, backend="aot_eager") == 4
    found = [gradients(model, batch(model, *shape)) for shape in SHAPES[:2]]
    # encoder and decoder layers
    after_two = graphs()
    found += [gradients(model, batch(model, *shape)) for shape in SHAPES[2:]]
    assert 2 <= after_two <= 4
    assert graphs() == after_two
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_decoding_compiles_nothing(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)), language="en")
    compile_layers(model.network, model.blocks, backend="aot_eager")
    clip = (0.1 * torch.randn(16_000)).numpy()
    with uncompiled():
        model.transcribe_batch([clip], clips_in("en"), DecodeOptions(max_length=4))
    assert graphs() == 0
    gradients(model, batch(model, *SHAPES[0]))
    assert graphs() > 0


@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler on a CPU"
)
def test_the_real_compiler_gives_the_same_loss(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)))
    inputs = batch(model, *SHAPES[0])
    with torch.no_grad():
        expected = float(model.summed_loss([inputs]))
        compile_layers(model.network, model.blocks)
        assert float(model.summed_loss([inputs])) == pytest.approx(expected, rel=1e-4)
    assert graphs() > 0
