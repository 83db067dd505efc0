"""Training, resuming and decoding on a GPU; skipped where there is not one."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.families.registry import family
from eartune.families.whisper.load import find, load
from eartune.model import DecodeOptions
from eartune.reporting import Silent
from eartune.training.batching.batches import Batch
from eartune.training.loss import SpeechLoss
from eartune.training.trainer import SpeechTrainer
from eartune.verbs.evaluate import evaluate
from eartune.verbs.merge import merge
from eartune.verbs.train import train
from tests.tiny import clips_in

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def configure(model: Path, speech: Path, out: Path, **options: object) -> TrainConfig:
    given = {
        "base_model": str(model), "train": [str(speech)], "val": [str(speech)], "output_dir": str(out),
        "num_train_epochs": 4, "per_device_train_batch_size": 2, "generation_max_length": 8, **options,
    }  # fmt: skip
    return resolve_config(overrides=[override(name, value) for name, value in given.items()])


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_lowers_the_loss(
    precision: str, method: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"precision": precision, "method": method, "learning_rate": 1e-2 if method == "lora" else 1e-3}
    torch.cuda.reset_peak_memory_stats()
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    assert torch.cuda.max_memory_allocated() > 0
    first, *_, last = (entry["eval_loss"] for entry in trained.validations)
    assert last < first


def test_gradient_checkpointing_keeps_the_loss(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    losses = [
        train(configure(tiny_model, tiny_speech, tmp_path / str(on), grad_ckpt=on, precision="fp32")).best["eval_loss"]
        for on in (False, True)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_memory_of_the_gpu_is_told_and_logged(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Lines(Silent):
        def line(self, text: str) -> None:
            told.append(text)

    options = {"mem_report_steps": 1, "logging_steps": 1, "max_steps": 2}
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options), reporter=Lines())
    lines = [line for line in told if line.startswith("[MEM:step")]
    shape = "GPU allocated N, reserved N, peak N; process resident N, peak N GiB"
    assert [re.sub(r"\d+\.\d\d", "N", line) for line in lines] == [f"[MEM:step{step}] {shape}" for step in (1, 2)]
    with (trained.path / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        allocated, reserved, peak = (float(row[f"gpu_{name}_gib"]) for name in ("allocated", "reserved", "peak"))
        assert 0 < allocated <= peak
        assert allocated <= reserved < torch.cuda.get_device_properties(0).total_memory / 2**30


@pytest.mark.parametrize("window", ["packed", "short"])
@pytest.mark.parametrize("compiled", [False, True])
def test_windows_train_with_a_measured_budget(
    window: str, compiled: bool, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"window": window, "batch_seconds": "auto", "torch_compile": compiled, "learning_rate": 1e-2}
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    first, *_, last = (entry["eval_loss"] for entry in trained.validations)
    assert last < first


def test_a_run_out_of_memory_goes_on_in_smaller_passes(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imitated: what is left of the device's memory is taken away for the first passes."""
    taken: list[torch.Tensor] = []
    loss = SpeechLoss.forward

    def crowded(self: SpeechLoss, batches: Sequence[Batch]) -> torch.Tensor:
        if self.training and sum(batch.input_s_total for batch in batches) > 100:
            taken.append(torch.empty(2 * torch.cuda.mem_get_info()[1], dtype=torch.uint8, device="cuda"))
        return loss(self, batches)

    monkeypatch.setattr(SpeechLoss, "forward", crowded)
    options = {"per_device_train_batch_size": 6, "num_train_epochs": 1}
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    assert trained.steps == 1
    assert not taken


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_step_never_waits_for_the_device(
    method: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SpeechTrainer.training_step

    def watched(self: SpeechTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step == 0:
            # the first one may set up what later ones use
            return step(self, *args, **kwargs)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(self, *args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(SpeechTrainer, "training_step", watched)
    options = {"method": method, "window": "short", "spec_augment": True}
    assert train(configure(tiny_model, tiny_speech, tmp_path / "run", **options)).steps == 12


@pytest.mark.parametrize("kind", ["group", "layer", "mms", "bert", "hubert"])
def test_ctc_encoders_compute_on_the_gpu_what_they_compute_on_the_cpu(
    kind: str, tiny_wav2vec2: dict[str, Path]
) -> None:
    loader = family("wav2vec2")
    model = loader.load(loader.find(str(tiny_wav2vec2[kind])), language="en")
    generator = torch.Generator().manual_seed(0)
    clips = [0.1 * torch.randn(length, generator=generator).numpy() for length in (16_000, 24_321, 9_000)]
    expected = model.transcribe_batch(clips, clips_in(*["en"] * 3), DecodeOptions())
    model.network.to("cuda")
    assert model.transcribe_batch(clips, clips_in(*["en"] * 3), DecodeOptions()) == expected


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("kind", ["group", "layer", "bert"])
def test_ctc_encoders_train(
    kind: str, precision: str, tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"method": "full", "precision": precision, "learning_rate": 1e-3, "family": "wav2vec2"}
    trained = train(configure(tiny_wav2vec2[kind], tiny_speech, tmp_path / "run", **options))
    first, *_, last = (entry["eval_loss"] for entry in trained.validations)
    assert last < first


def test_evaluate_and_merge_what_was_trained_on_the_gpu(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", lora_init="pissa"))
    merged = merge(str(trained.path), out=tmp_path / "merged")
    assert merged.largest_difference <= 1e-4
    options = DecodeOptions(max_length=8)
    found = evaluate(str(trained.path), data=[tiny_speech], out=tmp_path / "out", options=options)
    assert found.base is not None


def test_decoding_on_the_gpu_gives_the_texts_of_the_cpu(real_tiny_en: Path, demo_clips: list[tuple[Path, str]]) -> None:
    from eartune.audio import decode  # noqa: PLC0415

    clips = [decode(path) for path, _ in demo_clips[:8]]
    model = load(find(str(real_tiny_en)))
    expected = model.transcribe_batch(clips, clips_in(*[None] * 8), DecodeOptions())
    model.network.cuda()
    assert model.transcribe_batch(clips, clips_in(*[None] * 8), DecodeOptions()) == expected
