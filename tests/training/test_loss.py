"""The loss as a module: hooks on it, wrappers around it and compilers see each forward pass of a training."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import TrainerCallback

from eartune.config import TrainConfig
from eartune.errors import Interrupted
from eartune.families.registry import family
from eartune.manifest import read_manifest
from eartune.model import PlacedUtterance, SpeechModel
from eartune.ops.spec_augment import SpecAugment
from eartune.run_dir import RunDir
from eartune.stopping import StopToken
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.plan import MicroBatch
from eartune.training.batching.windows import Window
from eartune.training.loss import SpeechLoss
from eartune.training.trainer import SpeechTrainer
from eartune.verbs.train import train
from tests.verbs.test_train import configure as configure_run


@pytest.fixture
def model(tiny_model: Path) -> SpeechModel:
    whisper = family("whisper")
    return whisper.load(whisper.find(str(tiny_model)), language="en")


@pytest.fixture
def batches(model: SpeechModel, tiny_speech: Path) -> list[Batch]:
    utterances = read_manifest([tiny_speech]).utterances
    dataset = SpeechDataset(utterances, model)
    clips = [PlacedUtterance(row, 0.0, utterance.duration_s) for row, utterance in enumerate(utterances)]
    windows = [Window((clip,), clip.end_s, 3.2) for clip in clips]
    return [dataset[MicroBatch(tuple(windows[rows]), 3.2)] for rows in (slice(0, 2), slice(2, 5))]


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone, as `torchrun --nproc-per-node 1` makes it."""
    torch.distributed.init_process_group("gloo", init_method=(tmp_path / "rendezvous").as_uri(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def configure(model: Path, speech: Path, out: Path, **options: object) -> TrainConfig:
    return configure_run(
        model, speech, out, **{"val": [], "method": "full", "window": "short", "max_steps": 4, **options}
    )


def gradients(loss: nn.Module, batches: Sequence[Batch]) -> tuple[float, list[torch.Tensor]]:
    loss.zero_grad()
    value = loss(batches)
    value.backward()
    return float(value.detach()), [p.grad.clone() for p in loss.parameters() if p.grad is not None]


def require_equal(found: tuple[float, list[torch.Tensor]], expected: tuple[float, list[torch.Tensor]]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert len(found[1]) == len(expected[1]) > 0
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_its_parameters_are_those_of_the_network(model: SpeechModel) -> None:
    assert [*SpeechLoss(model).parameters()] == [*model.network.parameters()]


def test_inputs_are_augmented_and_targets_smoothed_in_training_only(model: SpeechModel, batches: list[Batch]) -> None:
    plain = SpeechLoss(model).eval()
    loss = SpeechLoss(model, label_smoothing=0.2, augment=SpecAugment(0.5, 4, 0.5, 4))
    with torch.no_grad():
        assert float(loss.eval()(batches)) == float(plain(batches))
        assert float(loss.train()(batches)) != pytest.approx(float(plain.train()(batches)), rel=1e-3)


@pytest.mark.usefixtures("process_group")
def test_data_parallel_around_it_has_its_gradients(model: SpeechModel, batches: list[Batch]) -> None:
    loss = SpeechLoss(model).eval()
    expected = gradients(loss, batches)
    require_equal(gradients(DistributedDataParallel(loss), batches), expected)


def test_compiled_it_has_its_gradients(model: SpeechModel, batches: list[Batch]) -> None:
    loss = SpeechLoss(model).eval()
    expected = gradients(loss, batches)
    try:
        require_equal(gradients(torch.compile(loss, backend="aot_eager"), batches), expected)  # type: ignore[arg-type]
    finally:
        torch._dynamo.reset()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_hook_on_the_trainer_s_model_sees_each_pass(
    precision: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    seen: list[float] = []

    def note(_: nn.Module, given: tuple[list[Batch]], loss: torch.Tensor) -> None:
        seen.append(float(loss.detach()) / sum(batch.num_target_tokens for batch in given[0]))

    def watch(trainer: SpeechTrainer) -> tuple[TrainerCallback, ...]:
        trainer.model.register_forward_hook(note)
        return ()

    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", precision=precision), watch=watch)
    rows = (trained.path / "metrics.csv").read_text().splitlines()[1:]
    assert seen == pytest.approx([float(row.split(",")[2]) for row in rows], rel=1e-4)


class Wrapper(nn.Module):
    """Counts the passes of the module in it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.passes = 0

    def forward(self, batches: Sequence[Batch]) -> torch.Tensor:
        self.passes += 1
        loss: torch.Tensor = self.module(batches)
        return loss


def test_a_wrapper_around_the_trainer_s_model_is_what_is_trained(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    wrappers: list[Wrapper] = []

    def watch(trainer: SpeechTrainer) -> tuple[TrainerCallback, ...]:
        trainer.model_wrapped = Wrapper(trainer.model)
        wrappers.append(trainer.model_wrapped)
        return ()

    wrapped = train(configure(tiny_model, tiny_speech, tmp_path / "wrapped"), watch=watch)
    assert wrappers[0].passes == wrapped.steps == 4
    plain = train(configure(tiny_model, tiny_speech, tmp_path / "plain"))
    first, second = ((run.path / "last" / "model.safetensors").read_bytes() for run in (wrapped, plain))
    assert first == second


def test_a_compiled_trainer_s_model_is_what_is_trained(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    def watch(trainer: SpeechTrainer) -> tuple[TrainerCallback, ...]:
        trainer.model_wrapped = torch.compile(trainer.model, backend="eager")
        return ()

    torch._dynamo.utils.counters.clear()
    try:
        compiled = train(configure(tiny_model, tiny_speech, tmp_path / "compiled"), watch=watch)
    finally:
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        torch._dynamo.reset()
    assert graphs
    plain = train(configure(tiny_model, tiny_speech, tmp_path / "plain"))
    first, second = (load_file(run.path / "last" / "model.safetensors") for run in (compiled, plain))
    for name, weight in second.items():
        torch.testing.assert_close(first[name], weight, atol=1e-5, rtol=1e-4)


def test_a_stop_from_another_thread_saves_and_the_run_goes_on_as_if_unbroken(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    stop = StopToken()

    class SetAfterTwo(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, _: object, state: object, *__: object, **___: object) -> None:
            if state.global_step == 1:  # type: ignore[attr-defined]
                other = threading.Thread(target=stop.set)
                other.start()
                other.join()

    config = configure(tiny_model, tiny_speech, tmp_path / "run")
    with pytest.raises(Interrupted, match="stopped at step 2 of 4"):
        train(config, stop=stop, watch=lambda _: (SetAfterTwo(),))
    assert [path.name for path in RunDir(tmp_path / "run").checkpoints.iterdir()] == ["checkpoint-2"]
    resumed = train(config)
    unbroken = train(configure(tiny_model, tiny_speech, tmp_path / "unbroken"))
    first, second = ((run.path / "last" / "model.safetensors").read_bytes() for run in (resumed, unbroken))
    assert first == second


def test_the_trainer_is_transformers_own_but_for_one_name() -> None:
    """Everything else that is overridden is documented for that; a new private name would break with a release."""
    private = {name for name in vars(SpeechTrainer) if name.startswith("_") and hasattr(SpeechTrainer.__base__, name)}
    assert private - set(vars(object)) - {"__module__", "__doc__", "__annotations__"} == {"_load_from_checkpoint"}
