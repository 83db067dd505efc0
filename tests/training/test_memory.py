"""Memory: what fits, measured; and steps that go on in smaller passes where it ran out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.errors import EartuneError
from eartune.reporting import Silent
from eartune.training import memory
from eartune.training.batching.batches import Batch
from eartune.training.loss import SpeechLoss
from eartune.training.memory import is_out_of_memory, max_input_s_total
from eartune.verbs.train import TrainedRun, train

CPU = torch.device("cpu")


class ReferenceOutputs(Silent):
    """Keeps the lines of a report."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def run(model: Path, speech: Path, out: Path, said: ReferenceOutputs, **options: Any) -> TrainedRun:
    given = {
        "base_model": str(model), "train": [str(speech)], "output_dir": str(out), "num_train_epochs": 2,
        "batch_size": 6, "precision": "fp32", "num_workers": 0, "method": "full", "lr": 1e-3, "window": "padded",
        **options,
    }  # fmt: skip
    return train(resolve_config(overrides=[override(name, value) for name, value in given.items()]), reporter=said)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let memory run out in passes that see more than so many seconds; return the passes that did not."""

    def apply(input_s_total: float) -> list[float]:
        passed: list[float] = []
        loss = SpeechLoss.forward

        def limited(self: SpeechLoss, batches: Sequence[Batch]) -> torch.Tensor:
            input_total = sum(batch.input_s_total for batch in batches)
            if not self.training:
                return loss(self, batches)
            if input_total > input_s_total:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
            passed.append(input_total)
            return loss(self, batches)

        monkeypatch.setattr(SpeechLoss, "forward", limited)
        return passed

    return apply


def test_a_run_out_of_memory_goes_on_in_smaller_passes_and_learns_the_same(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, limit: Any
) -> None:
    whole = run(tiny_model, tiny_speech, tmp_path / "whole", ReferenceOutputs())
    passed, said = limit(50.0), ReferenceOutputs()
    parts = run(tiny_model, tiny_speech, tmp_path / "parts", said)
    # 180 s, then 90 s, then 45 s at most: windows of 30 s one at a time, in both epochs
    assert passed == [30.0] * 12
    lines = [line for line in said.lines if "out of memory" in line]
    assert lines[0].startswith("out of memory with 180 s of encoder input at once: continuing with 90 s")
    assert len(lines) == 2
    assert parts.audio_seconds == pytest.approx(whole.audio_seconds)
    expected, found = (load_file(trained.path / "last" / "model.safetensors") for trained in (whole, parts))
    assert all(torch.allclose(found[name], expected[name], atol=2e-4) for name in expected)


def test_a_single_window_that_does_not_fit_ends_the_run_with_advice(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, limit: Any
) -> None:
    limit(20.0)
    with pytest.raises(EartuneError, match="too small for one window: set window short or packed"):
        run(tiny_model, tiny_speech, tmp_path / "run", ReferenceOutputs())


@pytest.mark.parametrize("window", ["padded", "short"])
def test_batch_seconds_auto_takes_what_fits(
    window: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ReferenceOutputs()
    run(tiny_model, tiny_speech, tmp_path / "all", said, window=window, batch_seconds="auto")
    (line,) = [line for line in said.lines if line.startswith("batch_seconds")]
    assert line.endswith(": 1 pass per step")
    roomy = float(line.split()[1])
    assert roomy > 180
    # a thousandth of the room
    free = memory.free_bytes(CPU)
    monkeypatch.setattr(memory, "free_bytes", lambda _: free * 80 / roomy)
    said = ReferenceOutputs()
    run(tiny_model, tiny_speech, tmp_path / "few", said, window="padded", batch_seconds="auto")
    (line,) = [line for line in said.lines if line.startswith("batch_seconds")]
    assert int(line.rpartition(":")[2].split()[0]) >= 2


def test_what_fits_is_measured_between_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass keeps 4000 bytes for each second and 5000 for all: of 100 000 usable bytes, 20 000 are the optimiser's."""
    monkeypatch.setattr(memory, "TRANSIENT", 1.0)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 200_000)
    weight = torch.ones(1250, requires_grad=True)

    def trial(count: int) -> float:
        rows = torch.ones(10 * count, 1000)
        kept = [torch.ones(1000, requires_grad=True).exp() for _ in range(10 * count)]
        (weight.exp().sum() + sum(part.sum() for part in kept) + rows.sum()).backward()
        return 10.0 * count

    assert max_input_s_total(trial, device=CPU, optimizer_bytes=20_000) == pytest.approx(80_000 / 4000, rel=0.01)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 50_000)
    with pytest.raises(EartuneError, match="too small for one window"):
        max_input_s_total(trial, device=CPU, optimizer_bytes=20_000)


def test_the_errors_that_mean_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.float32)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(MemoryError())
