"""Steps of an epoch, in the order of its plan, loaded ahead by workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import DataLoader, Dataset, Sampler

from eartune.errors import InputError
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.plan import MicroBatch, Step

# (epoch) -> its plan
PlanOf = Callable[[int], Iterable[Step]]


class PlannedSteps(Sampler[Step]):
    """The plan of the current epoch, as a batch sampler: transformers skips the steps that a resumed run has done."""

    def __init__(self, plan_of: PlanOf, num_steps: int) -> None:
        self.plan_of = plan_of
        self.num_steps = num_steps
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Step]:
        return iter(self.plan_of(self.epoch))

    def __len__(self) -> int:
        return self.num_steps


@dataclass(frozen=True)
class Unreadable:
    """A worker's finding about a recording; an exception would arrive as the worker's traceback."""

    finding: str

    def pin_memory(self) -> Unreadable:
        return self


class _Batches(Dataset["Batch | Unreadable"]):
    """A dataset that returns findings as items."""

    def __init__(self, dataset: SpeechDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, planned: MicroBatch) -> Batch | Unreadable:
        try:
            return self.dataset[planned]
        except InputError as error:
            return Unreadable(str(error))


def raise_unreadable(steps: Iterable[Sequence[Batch | Unreadable]]) -> None:
    """Raise InputError if a recording of these steps cannot be used."""
    for step in steps:
        for batch in step:
            if isinstance(batch, Unreadable):
                raise InputError(
                    f"{batch.finding} (training stops here, and earlier checkpoints are kept: repair this recording, "
                    "and run the same command again)"
                )


class StepLoader(DataLoader["Batch | Unreadable"]):
    """Yields each step as a list of its batches, with Unreadable in place of one that cannot be decoded."""

    def __init__(
        self, dataset: SpeechDataset, plan_of: PlanOf, *, num_steps: int, num_workers: int, pin_memory: bool
    ) -> None:
        # the sampler yields planned batches instead of indices: SpeechDataset takes those
        steps = PlannedSteps(plan_of, num_steps)
        super().__init__(
            _Batches(dataset),
            batch_sampler=steps,
            collate_fn=list,
            num_workers=num_workers,
            pin_memory=pin_memory,
            # starting workers advances torch's generator: once per run if they persist, so a resumed run would differ
            persistent_workers=False,
        )
        self.steps = steps

    def set_epoch(self, epoch: int) -> None:
        self.steps.set_epoch(epoch)
