"""Steps of an epoch, in the order of its plan, decoded ahead by workers."""

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
    """The plan of the current epoch, as a batch sampler: transformers skips what a continued run has seen."""

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
    """What a worker found wrong with a recording: as an exception it would arrive as a worker's traceback."""

    finding: str

    def pin_memory(self) -> Unreadable:
        return self


class _Batches(Dataset["Batch | Unreadable"]):
    """A dataset whose findings are items."""

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
    """Raise InputError where a recording of these steps cannot be used."""
    for step in steps:
        for batch in step:
            if isinstance(batch, Unreadable):
                raise InputError(
                    f"{batch.finding} (training ends here, and the checkpoints before are kept: mend this recording, "
                    "and give the same command again)"
                )


class StepLoader(DataLoader["Batch | Unreadable"]):
    """Gives each step as the list of its batches, Unreadable in the place of one that cannot be decoded."""

    def __init__(
        self, dataset: SpeechDataset, plan_of: PlanOf, *, num_steps: int, num_workers: int, pin_memory: bool
    ) -> None:
        # a sampler over planned batches in place of indices: SpeechDataset takes those
        steps = PlannedSteps(plan_of, num_steps)
        super().__init__(
            _Batches(dataset),
            batch_sampler=steps,
            collate_fn=list,
            num_workers=num_workers,
            pin_memory=pin_memory,
            # workers that persist draw random numbers once a run, not once an epoch: a continued run would differ
            persistent_workers=False,
        )
        self.steps = steps

    def set_epoch(self, epoch: int) -> None:
        self.steps.set_epoch(epoch)
